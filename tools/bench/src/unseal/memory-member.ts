import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { ID_BYTES, type RecordMethod, type SealMember, type SealType } from '@sealwright/keyring'
import { allocateKeyBytes, Secret } from '@sealwright/secret'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** How much a member of a seal and its record take up in a keyring. */
export interface MemberShape {
  readonly sealType: SealType
  readonly method: RecordMethod
  readonly sealedKekBytes: number
  /** 0: it has no public key that others wrap with. */
  readonly wrappingKeyBytes: number
  /** What the seal type keeps beside it. */
  readonly dataBytes: number
}

/**
 * What real members take up: a TPM 2.0 without a policy, RSA-OAEP for a token's key of 3,072 bits, version 1 of an AES-256-GCM transit key,
 * and a set of 5 shares.
 */
export const REAL_SHAPES: readonly MemberShape[] = [
  { sealType: 'tpm', method: 'tpm-sealed', sealedKekBytes: 314, wrappingKeyBytes: 90, dataBytes: 0 },
  { sealType: 'pkcs11', method: 'pkcs11-rsa-oaep', sealedKekBytes: 425, wrappingKeyBytes: 422, dataBytes: 0 },
  { sealType: 'transit', method: 'transit', sealedKekBytes: 116, wrappingKeyBytes: 0, dataBytes: 0 },
  { sealType: 'shamir', method: 'shamir-hybrid', sealedKekBytes: 1189, wrappingKeyBytes: 1216, dataBytes: 167 },
]

/** A member that keeps its key in memory, so that nothing but the keyring is measured. */
export interface MemoryMember extends SealMember {
  readonly wrappingKey: Uint8Array
  readonly data: Uint8Array
}

/** Makes a member of this shape: what it seals has the length that the real one's has. */
export function memoryMember({
  sealType,
  method,
  sealedKekBytes,
  wrappingKeyBytes,
  dataBytes,
}: MemberShape): MemoryMember {
  const key = randomBytes(32)
  return {
    ...{ sealType, method, memberId: randomBytes(ID_BYTES) },
    ...{ wrappingKey: randomBytes(wrappingKeyBytes), data: randomBytes(dataBytes) },
    sealKek: (kek, { signal }) => {
      signal.throwIfAborted()
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      const ciphertext = kek.reveal(bytes => cipher.update(bytes))
      cipher.final()
      const sealed = Buffer.concat([nonce, cipher.getAuthTag(), ciphertext])
      return Promise.resolve(Buffer.concat([sealed, randomBytes(sealedKekBytes - sealed.byteLength)]))
    },
    unsealKek: (sealedKek, { signal }) => {
      signal.throwIfAborted()
      const decipher = createDecipheriv('aes-256-gcm', key, sealedKek.subarray(0, NONCE_BYTES))
      decipher.setAuthTag(sealedKek.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
      const kek = allocateKeyBytes(32)
      kek.set(decipher.update(sealedKek.subarray(NONCE_BYTES + TAG_BYTES, NONCE_BYTES + TAG_BYTES + 32)))
      decipher.final()
      return Promise.resolve(new Secret(kek))
    },
  }
}
