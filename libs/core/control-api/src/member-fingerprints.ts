import { createHash } from 'node:crypto'

/** Length of a fingerprint, in bytes. As text it has twice as many digits. */
const FINGERPRINT_BYTES = 16
const LENGTH_BYTES = 4
const MEMBER_DOMAIN = 'sealwright keyring v1 member fingerprint'
const SET_DOMAIN = 'sealwright keyring v1 member set fingerprint'

/** What a keyring says of a member that others wrap by. */
export interface FingerprintedMember {
  /** 16 bytes. */
  readonly sealId: Uint8Array
  readonly sealType: string
  /** 16 bytes. */
  readonly memberId: Uint8Array
  readonly label: string
  readonly wrappingKey: Uint8Array
  readonly data: Uint8Array
}

/**
 * Names a member with all that decides who it is: another one under its label has another fingerprint.
 *
 * @returns 16 bytes in lower-case hex.
 * @see docs/formats/keyring.md §7.8
 */
export function memberFingerprint(member: FingerprintedMember): string {
  const { sealId, sealType, memberId, label, wrappingKey, data } = member
  return fingerprint([MEMBER_DOMAIN, sealId, sealType, memberId, label, wrappingKey, data])
}

/**
 * Names a set of members, in whatever order they come: what an operator confirms before they alone get the next key.
 *
 * @param fingerprints - one for each member, as {@link memberFingerprint} gives it.
 * @returns 16 bytes in lower-case hex.
 * @see docs/formats/keyring.md §7.8
 */
export function memberSetFingerprint(fingerprints: readonly string[]): string {
  return fingerprint([SET_DOMAIN, ...fingerprints.toSorted()])
}

/**
 * Which members are meant by names that people give: each is the id of a member, in whichever seals it is, or the fingerprint of one. An
 * intruder may list the id of another in a seal of their own: only fingerprints tell the two apart.
 *
 * @returns those members; or the first name that is of none, or is the id of one and the fingerprint of another.
 */
export function membersNamed<M extends { readonly memberId: string; readonly fingerprint: string }>(
  members: readonly M[],
  names: readonly string[],
): { readonly named: ReadonlySet<M>; readonly unknown?: string } {
  const named = new Set<M>()
  for (const name of names) {
    const byId = members.filter(({ memberId }) => memberId === name)
    const byFingerprint = members.filter(each => each.fingerprint === name)
    const found = [...byId, ...byFingerprint]
    if (found.length === 0 || (byId.length > 0 && byFingerprint.length > 0)) return { named, unknown: name }
    for (const member of found) named.add(member)
  }
  return { named }
}

function fingerprint(fields: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const field of fields) {
    const bytes = Buffer.from(field)
    const length = Buffer.alloc(LENGTH_BYTES)
    length.writeUInt32BE(bytes.byteLength)
    hash.update(length).update(bytes)
  }
  return hash.digest().toString('hex', 0, FINGERPRINT_BYTES)
}
