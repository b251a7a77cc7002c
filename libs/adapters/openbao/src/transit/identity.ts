import { createHash } from 'node:crypto'
import { lengthPrefixed } from '@sealwright/bytes'
import { ID_BYTES } from '@sealwright/keyring'
import { withoutSlashes } from '../kv.ts'
import { type TransitAccess, type TransitCall } from './transit-access.ts'

const MEMBER_ID_DOMAIN = 'sealwright transit member v1'

/** Where a transit key is. Any of it may change later: a mount is moved, a key is restored elsewhere. */
export interface TransitKeyLocation {
  /** As `sys/seal-status` of the other OpenBao says. */
  readonly clusterId: string
  /** Empty for the root namespace. */
  readonly namespace: string
  readonly mountPath: string
  readonly keyName: string
}

/** A transit key as the member that nodes agree on, if each of them enrols on its own. */
export interface TransitIdentity extends TransitKeyLocation {
  /** 16 bytes. Immutable once a record has it, whatever becomes of the rest. */
  readonly memberId: Uint8Array
}

/**
 * The member id that is suggested for a key: the first 16 bytes of SHA-256 over five fields, each behind its length (4): domain,
 * cluster id, namespace, mount path, key name.
 *
 * Slashes around namespace and mount path do not count.
 *
 * @see docs/formats/transit-sealed-kek.md §4
 */
export function transitMemberId({ clusterId, namespace, mountPath, keyName }: TransitKeyLocation): Uint8Array {
  const fields = [MEMBER_ID_DOMAIN, clusterId, withoutSlashes(namespace), withoutSlashes(mountPath), keyName]
  const hash = createHash('sha256').update(lengthPrefixed(fields.map(field => new TextEncoder().encode(field))))
  return Uint8Array.from(hash.digest().subarray(0, ID_BYTES))
}

/**
 * Asks the other OpenBao who it is, without a token. For enrolment: opening needs none of it, only the id in the record.
 *
 * @throws {@link TransitError} `TRANSIT_SEALED` while it is sealed, and what keeps it from answering.
 */
export async function readTransitIdentity(access: TransitAccess, call: TransitCall): Promise<TransitIdentity> {
  const clusterId = await access.clusterId(call)
  const { namespace, mountPath, keyName } = access
  const location = { clusterId, namespace, mountPath, keyName }
  return { ...location, memberId: transitMemberId(location) }
}
