import { type Keyring, type SealMember, type SealType } from '@sealwright/keyring'
import { type ConditionsComparison } from '@sealwright/tpm'

/** A device that a seal has records for. */
export interface EnrolledDevice {
  /** As it stands in the configuration: the name of the TPM's storage key in hex. */
  readonly storageKeyName: string
  /** As records name it. */
  readonly memberId: Uint8Array
}

/** What seals need of the program that they are part of. */
export interface SealContext {
  /**
   * Whether this is known to be the cluster of this node. Only then is a record opened that anybody can have made: it does not show
   * where it comes from. Left out: the configuration says.
   */
  readonly isOurCluster?: (clusterId: Uint8Array) => boolean
  /** The one that calls `servePkcs11`: it has the vendor's module in it. */
  readonly pkcs11Program: { readonly command: string; readonly args: readonly string[] }
}

/** A named seal of this node that opens without people, as its configuration describes it. Disposing of it ends what it keeps open. */
export interface ConfiguredSeal extends AsyncDisposable {
  readonly name: string
  readonly type: SealType
  readonly priority: number
  readonly disabled: boolean
  /** Whether it has a PIN: a failed attempt may count towards a lockout, so never try without need. */
  readonly hasPin: boolean
  /** Starts what opening takes time for, and asks no device: see `NamedSeal.prepare`. Left out: there is nothing of the kind. */
  prepare?(): void
  /**
   * How the conditions that a record's sealed KEK opens under compare with those that are configured now. Asks no device.
   *
   * @throws {TpmError} `TPM_BLOB_MALFORMED`.
   */
  compareConditions(sealedKek: Uint8Array): ConditionsComparison
  /** The devices that the keyring has records for, each once, newest record first. Asks none of them. */
  enrolledDevices(keyring: Keyring): readonly EnrolledDevice[]
  /**
   * Lends the member that this node has now: for making a record.
   *
   * @param options.knownIn - an authentic keyring. If it has records for this seal, the member must be one that they are for; with
   *   `undefined` whoever answers will do. A stranger is told from a known one before anything secret is sent.
   * @throws {TpmError} `TPM_CLEARED`, `TPM_REPLACED` for a stranger; `TPM_NAME_MISMATCH` if the configuration names another one.
   */
  withLocalMember<T>(
    options: { readonly knownIn: Keyring | undefined; readonly signal: AbortSignal },
    use: (member: SealMember) => Promise<T>,
  ): Promise<T>
  /**
   * Lends the member of this node that the keyring knows: for opening.
   *
   * @throws {KeyringError} `KEYRING_NO_RECORD` if the keyring has no record for this seal.
   * @throws {TpmError} `TPM_CLEARED`, `TPM_REPLACED` if it has records, but none of this machine's member; `TPM_NAME_MISMATCH` if none
   *   of the one that the configuration names.
   */
  withRecordedMember<T>(
    keyring: Keyring,
    signal: AbortSignal,
    use: (member: SealMember, sealId: Uint8Array) => Promise<T>,
  ): Promise<T>
}
