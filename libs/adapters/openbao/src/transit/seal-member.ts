import { ID_BYTES, KEY_BYTES, type RecordMethod, type SealMember } from '@sealwright/keyring'
import { sealedKekAssociatedData } from './associated-data.ts'
import { TransitError } from './error.ts'
import { decodeTransitSealedKek, encodeTransitSealedKek } from './sealed-kek.ts'
import { type TransitAccess } from './transit-access.ts'

const METHOD: RecordMethod = 'transit'

export interface TransitSealMemberOptions {
  /** Stays the caller's, and open for as long as the member is used. */
  readonly access: TransitAccess
  /**
   * Which member of the seal this is, 16 bytes. For a new one `readTransitIdentity` suggests it; for opening it is the one in the
   * record. A key may have been moved or renamed since, so a caller tries the members that the seal has: one of another key says
   * `TRANSIT_CIPHERTEXT_REFUSED`, and no harm is done.
   */
  readonly memberId: Uint8Array
  /** The version that seals. Left out: the newest. */
  readonly keyVersion?: number
}

/**
 * Makes a transit key a member of a seal. Asks the other OpenBao nothing until something is sealed or opened.
 *
 * Its methods throw {@link TransitError}.
 *
 * @throws {@link TransitError} `TRANSIT_OPTIONS_INVALID` for a member id of another length.
 */
export function transitSealMember({ access, memberId: given, keyVersion }: TransitSealMemberOptions): SealMember {
  if (given.byteLength !== ID_BYTES) {
    throw new TransitError(
      'TRANSIT_OPTIONS_INVALID',
      `a member id of ${given.byteLength} bytes, it must have ${ID_BYTES}`,
    )
  }
  const memberId = Uint8Array.from(given)
  const associatedData = sealedKekAssociatedData(memberId)
  return {
    sealType: 'transit',
    method: METHOD,
    memberId,
    sealKek: async (kek, { signal }) => {
      if (kek.byteLength !== KEY_BYTES) {
        throw new TransitError('TRANSIT_OPTIONS_INVALID', `a key of ${kek.byteLength} bytes, it must have ${KEY_BYTES}`)
      }
      const version = keyVersion === undefined ? {} : { keyVersion }
      const ciphertext = await access.encrypt(kek, { associatedData, signal, ...version })
      return encodeTransitSealedKek({ memberId, ciphertext })
    },
    unsealKek: async (sealedKek, { signal, method }) => {
      assertMadeBy(method)
      const sealed = decodeTransitSealedKek(sealedKek)
      if (Buffer.compare(sealed.memberId, memberId) !== 0) {
        throw new TransitError(
          'TRANSIT_MEMBER_MISMATCH',
          'this key was sealed for another member than its record says: the record was changed; restore it from a copy, or open by another seal',
        )
      }
      const kek = await access.decrypt(sealed.ciphertext, { associatedData, signal })
      if (kek.byteLength === KEY_BYTES) return kek
      const { byteLength } = kek
      kek.wipe()
      throw new TransitError(
        'TRANSIT_RESPONSE_MALFORMED',
        `the other OpenBao gave a key of ${byteLength} bytes: do not trust it`,
      )
    },
  }
}

/**
 * Which member a sealed KEK was made for, without asking anybody.
 *
 * @throws {@link TransitError} `TRANSIT_BLOB_MALFORMED`.
 */
export function transitMemberOf(sealedKek: Uint8Array): Uint8Array {
  return decodeTransitSealedKek(sealedKek).memberId
}

/** A record must say how its sealed key was made: else one that somebody else has made could pass for our own. */
function assertMadeBy(recorded: RecordMethod): void {
  if (recorded === METHOD) return
  throw new TransitError(
    'TRANSIT_METHOD_MISMATCH',
    `this key is sealed by ${METHOD}, and its record says ${recorded}: the record was changed; restore it from a copy, or open by another seal`,
  )
}
