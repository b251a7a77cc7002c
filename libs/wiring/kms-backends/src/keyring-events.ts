import { type SealFailure } from '@sealwright/unseal'

/** What happens to the keyring of a KMS plugin, for log and metrics. Nothing in it is secret. */
export type KeyringEvent =
  /** Opened for the first time, or again after the store has changed. `versions`: those that it has keys of. */
  | {
      readonly kind: 'opened'
      readonly sealName: string
      readonly tookMs: number
      readonly revision: number
      readonly versions: readonly number[]
    }
  | { readonly kind: 'seal-failed'; readonly sealName: string; readonly failure: SealFailure }
  /** A device has refused a PIN. It is not sent again for that record until a reload. */
  | { readonly kind: 'pin-refused'; readonly sealName: string; readonly cause: unknown }
  /** The store has changed and was not taken over: what is open goes on. The next start is at risk. */
  | { readonly kind: 'store-not-taken'; readonly cause: unknown }
  /** The store has again what is open. */
  | { readonly kind: 'store-taken' }
  /** Another program may use the store beside this one. */
  | { readonly kind: 'store-not-locked'; readonly cause: unknown }
  /** Devices of this node have got records that they lacked. */
  | { readonly kind: 'tended'; readonly sealNames: readonly string[] }
  /** Devices of this node lack records and did not get them now. It is tried again. */
  | { readonly kind: 'not-tended'; readonly failures: ReadonlyMap<string, SealFailure> }
  | { readonly kind: 'tending-failed'; readonly cause: unknown }
