import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'

import { type RecordMethod } from '../registry.ts'
import { ID_BYTES, type SealMember, type SealType } from '../seal.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

const METHODS: Readonly<Record<SealType, RecordMethod>> = {
  tpm: 'tpm-sealed',
  pkcs11: 'pkcs11-aes-gcm',
  transit: 'transit',
  shamir: 'shamir-hybrid',
}

/** A seal member that keeps its key in memory, for the tests of this library. */
export interface FakeMember extends SealMember {
  /** Each KEK that it handed out, in turn, and what it was told of it. */
  readonly unsealed: readonly { readonly kek: Secret; readonly method: RecordMethod }[]
}

/** Makes a member whose id and key follow from `name`: two of one name open what either sealed, and count on their own. */
export function fakeMember(name: string, sealType: SealType = 'tpm'): FakeMember {
  const key = createHash('sha256').update(`key of ${name}`).digest()
  const unsealed: { readonly kek: Secret; readonly method: RecordMethod }[] = []
  return {
    sealType,
    method: METHODS[sealType],
    memberId: Uint8Array.from(createHash('sha256').update(`id of ${name}`).digest().subarray(0, ID_BYTES)),
    unsealed,
    sealKek: (kek, { signal }) => {
      signal.throwIfAborted()
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      const ciphertext = kek.reveal(bytes => cipher.update(bytes))
      cipher.final()
      return Promise.resolve(Uint8Array.from([...nonce, ...ciphertext, ...cipher.getAuthTag()]))
    },
    unsealKek: (sealedKek, { signal, method }) => {
      signal.throwIfAborted()
      const decipher = createDecipheriv('aes-256-gcm', key, sealedKek.subarray(0, NONCE_BYTES))
      decipher.setAuthTag(sealedKek.subarray(-TAG_BYTES))
      const bytes = decipher.update(sealedKek.subarray(NONCE_BYTES, -TAG_BYTES))
      decipher.final()
      const kek = new Secret(Uint8Array.from(bytes))
      unsealed.push({ kek, method })
      return Promise.resolve(kek)
    },
  }
}
