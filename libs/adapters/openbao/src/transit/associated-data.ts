import { lengthPrefixed } from '@sealwright/bytes'
/** Says what a ciphertext is for: no other use of the same key makes one that passes for a sealed KEK. */
const DOMAIN = new TextEncoder().encode('sealwright transit kek v1')

/**
 * What the other OpenBao authenticates beside the KEK: length (4) ‖ domain ‖ length (4) ‖ member id (16).
 *
 * @see docs/formats/transit-sealed-kek.md §3
 */
export function sealedKekAssociatedData(memberId: Uint8Array): Uint8Array {
  return lengthPrefixed([DOMAIN, memberId])
}
