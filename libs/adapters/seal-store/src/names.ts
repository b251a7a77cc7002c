import { randomBytes } from 'node:crypto'
import { StoreError } from './errors.ts'

/** The current keyring. */
export const KEYRING_NAME = 'keyring'

/** A copy of the keyring before the current one. */
export const PREVIOUS_NAME = 'keyring.previous'

/** The locks of a store; the file of each is `<name>.lock`. */
export type StoreLockName = 'agent' | 'writer'

/**
 * What a temporary file was made for.
 *
 * `first`: no keyring was there. `next`: it was to replace a keyring. `previous`: a copy of the replaced
 * one. The kind stands in the name, so that a leftover tells whether a keyring ever was in this folder.
 */
export type TempKind = 'first' | 'next' | 'previous'

/** Random part of a temporary name, in bytes; twice as many hex digits. */
const TEMP_RANDOM_BYTES = 8

const tempPattern = /^keyring\.(first|next|previous)\.[0-9a-f]{16}\.tmp$/

/** What an entry of the folder is, judged by its name alone. */
export type EntryKind = 'keyring' | 'previous' | 'lock' | 'first-temp' | 'other-temp' | 'unknown'

/** A fresh name for a temporary file. */
export function tempName(kind: TempKind): string {
  return `${KEYRING_NAME}.${kind}.${randomBytes(TEMP_RANDOM_BYTES).toString('hex')}.tmp`
}

/** The file of a lock. */
export function lockFileName(lock: StoreLockName): string {
  return `${lock}.lock`
}

/** Judges one name; everything that this library did not name is `unknown`. */
export function entryKind(name: string): EntryKind {
  if (name === KEYRING_NAME) return 'keyring'
  if (name === PREVIOUS_NAME) return 'previous'
  if (name === lockFileName('agent') || name === lockFileName('writer')) return 'lock'
  const temp = tempPattern.exec(name)
  if (temp === null) return 'unknown'
  return temp[1] === 'first' ? 'first-temp' : 'other-temp'
}

/** How many names a message lists before it only counts. */
const NAMED_ENTRIES = 5

/**
 * Checks that a folder without a keyring never had one.
 *
 * Allowed are the two lock files and leftovers of a first write: every later write removes those before it
 * puts its keyring in place, so while one is there no write ever ended. Anything else is a trace.
 *
 * @throws {@link StoreError} `STORE_KEYRING_MISSING`, `STORE_UNKNOWN_FILES`.
 */
export function assertNeverWritten(folderPath: string, names: readonly string[]): void {
  const traces = names.filter(name => ['previous', 'other-temp'].includes(entryKind(name)))
  if (traces.length > 0) {
    throw new StoreError(
      'STORE_KEYRING_MISSING',
      `${folderPath} has no ${KEYRING_NAME}, but ${listed(traces)} shows that there was one. Find out who removed it. ` +
        `To go back to an older keyring, copy it (cp -p ${PREVIOUS_NAME} ${KEYRING_NAME}); ` +
        `to start afresh on purpose, move the folder away`,
    )
  }
  const unknown = names.filter(name => entryKind(name) === 'unknown')
  if (unknown.length > 0) {
    throw new StoreError(
      'STORE_UNKNOWN_FILES',
      `${folderPath} has no ${KEYRING_NAME}, but holds ${listed(unknown)}: this may be the wrong folder. ` +
        `Give the store a folder of its own, or move these away`,
    )
  }
}

function listed(names: readonly string[]): string {
  const shown = [...names].sort().slice(0, NAMED_ENTRIES)
  const rest = names.length - shown.length
  // A file name may hold anything, also what a terminal would obey: JSON escapes it.
  return shown.map(name => JSON.stringify(name)).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}
