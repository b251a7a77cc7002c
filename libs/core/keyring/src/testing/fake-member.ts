import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'

import { ID_BYTES, type SealMember, type SealType } from '../seal.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A seal member that keeps its key in memory, for the tests of this library. */
export interface FakeMember extends SealMember {
  /** How often a KEK was unsealed. */
  readonly unsealCount: () => number
}

/** Makes a member whose id and key follow from `name`. */
export function fakeMember(name: string, sealType: SealType = 'tpm'): FakeMember {
  const key = createHash('sha256').update(`key of ${name}`).digest()
  let unsealCount = 0
  return {
    sealType,
    memberId: Uint8Array.from(createHash('sha256').update(`id of ${name}`).digest().subarray(0, ID_BYTES)),
    unsealCount: () => unsealCount,
    sealKek: (kek, { signal }) => {
      signal.throwIfAborted()
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      const ciphertext = kek.reveal(bytes => cipher.update(bytes))
      cipher.final()
      return Promise.resolve(Uint8Array.from([...nonce, ...ciphertext, ...cipher.getAuthTag()]))
    },
    unsealKek: (sealedKek, { signal }) => {
      signal.throwIfAborted()
      unsealCount += 1
      const decipher = createDecipheriv('aes-256-gcm', key, sealedKek.subarray(0, NONCE_BYTES))
      decipher.setAuthTag(sealedKek.subarray(-TAG_BYTES))
      const kek = decipher.update(sealedKek.subarray(NONCE_BYTES, -TAG_BYTES))
      decipher.final()
      return Promise.resolve(new Secret(Uint8Array.from(kek)))
    },
  }
}
