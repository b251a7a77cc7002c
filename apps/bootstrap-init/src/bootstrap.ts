import {
  currentGeneration,
  decodeKeyring,
  encodeKeyring,
  type Keyring,
  KeyringError,
  matchSealKey,
} from '@sealwright/keyring'
import { openKeyringStore } from '@sealwright/node-seals'
import { type SealStore, StoreError } from '@sealwright/seal-store'
import { type Enrolment, type EnrolmentInput, enrolSeals } from './enrol-seals.ts'
import { BootstrapError } from './errors.ts'
import { type HandedKey } from './handed-key.ts'
import { type KnownDevice, markPresent } from './known-devices.ts'
import { type SealReport, trySeals } from './try-seals.ts'

export interface BootstrapInput extends Omit<EnrolmentInput, 'current' | 'handedKey'> {
  readonly storePath: string
  /** Take group and other bits away from the store instead of refusing them. */
  readonly tightenModes: boolean
  /** `undefined` once the seal key was destroyed: then what is stored has to do. Stays the caller's. */
  readonly handedKey: HandedKey | undefined
  /** Where the seal key was looked for, for messages. */
  readonly handedKeyPath: string
}

/** What a bootstrap did. */
export interface BootstrapReport {
  /**
   * `created`: first keyring. `extended`: records were added. `renewed`: records were made anew in their places, under the
   * conditions that are configured now. `unchanged`: no file was touched.
   */
  readonly result: 'created' | 'extended' | 'renewed' | 'unchanged'
  readonly keyring: Keyring
  readonly seals: readonly SealReport[]
  /**
   * The devices that each seal has records for, by the seal's name, newest record first. Empty if neither the seal
   * key nor a seal has authenticated the keyring: nobody should copy a name out of a forged one.
   */
  readonly devices: ReadonlyMap<string, readonly KnownDevice[]>
}

/**
 * Gives every seal of this node a way in, and proves that it is one.
 *
 * Runs again harmlessly: a way in that is there stays there, whether or not its device answers now. A store that belongs
 * to another key, or that cannot be read, is left as it is.
 *
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_MISSING`, `BOOTSTRAP_KEY_ID`, `BOOTSTRAP_PROOF_FAILED`; what the store, the keyring
 *   and the seals throw passes through. After each, the store is as it was; at most its folder and lock files were made.
 */
export async function bootstrap(input: BootstrapInput): Promise<BootstrapReport> {
  const { seals, handedKey, permissions, signal } = input
  if (handedKey === undefined) assertNothingAsked(input)
  await using store = await openStore(input)
  const stored = await store.readKeyring()
  const current = stored === undefined ? undefined : decodeKeyring(stored)
  if (handedKey === undefined) {
    if (current === undefined) throw keyMissing(input)
    const untouched = { enrolled: new Set<string>(), unreachable: new Map<string, never>(), tryPins: false }
    const reports = await trySeals({ ...untouched, seals, keyring: current, signal })
    // To open a keyring is to check its MAC.
    const isAuthentic = reports.some(({ state }) => state === 'opens')
    const devices = isAuthentic ? markPresent(seals, current, reports) : new Map<string, never>()
    return { result: 'unchanged', keyring: current, seals: reports, devices }
  }
  const enrolment = await enrol({ ...input, current, handedKey })
  const { keyring, enrolled, hasRenewed } = enrolment
  if (enrolled.size === 0) {
    const reports = await trySeals({ ...enrolment, seals, tryPins: permissions.reseal, signal })
    return { result: 'unchanged', keyring, seals: reports, devices: markPresent(seals, keyring, reports) }
  }
  const reports = await writeProven(store, stored, enrolment, { ...input, handedKey })
  const added = hasRenewed ? 'renewed' : 'extended'
  const devices = markPresent(seals, keyring, reports)
  return { result: current === undefined ? 'created' : added, keyring, seals: reports, devices }
}

/** Enrols, and says of a key that is not the store's which two things do not fit: the keyring knows neither place. */
async function enrol(input: EnrolmentInput & BootstrapInput): Promise<Enrolment> {
  const { current, storePath, handedKeyPath } = input
  try {
    return await enrolSeals(input)
  } catch (error) {
    if (!(error instanceof KeyringError && error.code === 'KEYRING_OTHER_KEY') || current === undefined) throw error
    const { keyId: stored } = currentGeneration(current)
    throw new KeyringError(
      'KEYRING_OTHER_KEY',
      `${error.message}: the one at ${handedKeyPath} is not that of the store ${storePath}, which is called ${stored}. ` +
        'Check what was typed and bring the right key, or none; or correct `store`. Nothing was changed',
      { cause: error },
    )
  }
}

async function openStore(input: BootstrapInput): Promise<SealStore> {
  const { storePath, tightenModes, handedKey } = input
  try {
    return await openKeyringStore(storePath, { create: handedKey !== undefined, tightenModes })
  } catch (error) {
    const isNowhere = error instanceof StoreError && error.code === 'STORE_NOT_FOUND'
    if (isNowhere && handedKey === undefined) throw keyMissing(input, error)
    throw error
  }
}

/** Writes the new keyring after opening the bytes read back through every seal that got a record. */
async function writeProven(
  store: SealStore,
  stored: Uint8Array | undefined,
  { keyring, enrolled, unreachable }: Enrolment,
  { seals, handedKey, permissions, signal }: Omit<EnrolmentInput, 'current'>,
): Promise<readonly SealReport[]> {
  let reports: readonly SealReport[] = []
  try {
    await store.writeKeyring({
      bytes: encodeKeyring(keyring),
      expectedCurrent: stored,
      signal,
      prove: async bytesReadBack => {
        const readBack = decodeKeyring(bytesReadBack)
        // The MAC ties what a seal opens to the key that was handed in: both must fit it.
        matchSealKey({ keyring: readBack, sealKey: handedKey.sealKey }).wipe()
        const tryPins = permissions.reseal
        reports = await trySeals({ seals, keyring: readBack, enrolled, unreachable, tryPins, signal })
        assertEnrolledOpen(reports, enrolled)
      },
    })
  } catch (error) {
    // The proof's own words name the seal and the cause; the store only knows that there was one.
    const isProof = error instanceof StoreError && error.code === 'STORE_PROOF_FAILED'
    if (isProof && error.cause instanceof Error) throw error.cause
    throw error
  }
  return reports
}

function assertEnrolledOpen(reports: readonly SealReport[], enrolled: ReadonlySet<string>): void {
  for (const report of reports) {
    if (report.state === 'opens' || !enrolled.has(report.name)) continue
    const why = report.state === 'fails' ? `${report.failure.code}: ${report.failure.message}` : 'it was not tried'
    throw new BootstrapError(
      'BOOTSTRAP_PROOF_FAILED',
      `the seal ${report.name} does not open what it was just given (${why}); the store is as it was`,
    )
  }
}

/** What changes a store on somebody's word needs the seal key; without it that word would be lost in silence. */
function assertNothingAsked({ permissions, handedKeyPath }: BootstrapInput): void {
  const asked = [...(permissions.reseal ? ['--reseal'] : []), ...(permissions.newTpm ? ['--new-tpm'] : [])]
  if (asked.length === 0) return
  throw new BootstrapError(
    'BOOTSTRAP_KEY_MISSING',
    `there is no seal key at ${handedKeyPath}, and ${asked.join(' and ')} can do nothing without: mount it, or leave that out`,
  )
}

function keyMissing({ handedKeyPath, storePath }: BootstrapInput, cause?: unknown): BootstrapError {
  return new BootstrapError(
    'BOOTSTRAP_KEY_MISSING',
    `there is no seal key at ${handedKeyPath}, and no keyring in ${storePath}: mount the seal key if this node is new, ` +
      'or the volume of the store if it is not',
    { cause },
  )
}
