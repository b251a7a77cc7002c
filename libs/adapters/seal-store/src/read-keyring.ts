import { describeCause, StoreError } from './errors.ts'
import { type Folder } from './folder.ts'
import { assertNeverWritten, KEYRING_NAME, PREVIOUS_NAME } from './names.ts'
import { assertPrivate } from './permissions.ts'
import { openEntry, readWhole } from './regular-file.ts'

/** Most bytes a keyring may have: as many as the format allows (docs/formats/keyring.md). */
export const KEYRING_MAX_BYTES = 851_968

/** Throws if the bytes are no keyring that the caller would accept. Checks the layout; needs no key. */
export type VerifyKeyring = (bytes: Uint8Array) => void

/** How often a keyring that came while we looked for traces is looked for again. */
const READ_ATTEMPTS = 3

/**
 * Reads the keyring. Changes nothing, takes no lock: the file is only ever replaced whole.
 *
 * @returns the bytes, which `verify` accepted; `undefined` only if no keyring was ever written here.
 * @throws {@link StoreError} `STORE_KEYRING_MISSING`, `STORE_UNKNOWN_FILES`, `STORE_KEYRING_EMPTY`, `STORE_KEYRING_INVALID`,
 * `STORE_NOT_A_FILE`, `STORE_TOO_LARGE`, `STORE_UNSAFE_PERMISSIONS`, `STORE_UNREADABLE`, `STORE_MOVED`.
 */
export async function readKeyringFrom(folder: Folder, verify: VerifyKeyring): Promise<Uint8Array | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    await folder.assertInPlace()
    const bytes = await readStoreFile(folder, KEYRING_NAME)
    if (bytes !== undefined) {
      assertKeyring(folder.shown(KEYRING_NAME), bytes, verify)
      return bytes
    }
    const names = await folder.list()
    if (names.includes(KEYRING_NAME)) {
      // A first write ended between our two looks.
      if (attempt < READ_ATTEMPTS) continue
      throw new StoreError('STORE_UNREADABLE', `${folder.shown(KEYRING_NAME)} comes and goes: find out who moves it`)
    }
    assertNeverWritten(folder.path, names)
    return undefined
  }
}

/**
 * Reads one file of the store whole, after checking that only we can reach it.
 *
 * @returns `undefined` if there is no such entry.
 * @throws {@link StoreError} `STORE_NOT_A_FILE`, `STORE_TOO_LARGE`, `STORE_UNSAFE_PERMISSIONS`, `STORE_UNREADABLE`.
 */
export async function readStoreFile(folder: Folder, name: string): Promise<Uint8Array | undefined> {
  await using entry = await openEntry(folder, name)
  if (entry === undefined) return undefined
  assertPrivate(folder.shown(name), await entry.stat())
  return await readWhole(entry, folder.shown(name), KEYRING_MAX_BYTES)
}

/**
 * Checks bytes that are, or are to become, the keyring at `path`.
 *
 * @throws {@link StoreError} `STORE_KEYRING_EMPTY`, `STORE_KEYRING_INVALID`, `STORE_TOO_LARGE`.
 */
export function assertKeyring(path: string, bytes: Uint8Array, verify: VerifyKeyring): void {
  if (bytes.byteLength === 0) {
    throw new StoreError(
      'STORE_KEYRING_EMPTY',
      `${path} has 0 bytes: something truncated it. Look at ${PREVIOUS_NAME} beside it, or a backup; it is left as it is`,
    )
  }
  if (bytes.byteLength > KEYRING_MAX_BYTES) {
    throw new StoreError(
      'STORE_TOO_LARGE',
      `a keyring for ${path} may have ${KEYRING_MAX_BYTES} bytes, not ${bytes.byteLength}`,
    )
  }
  try {
    verify(bytes)
  } catch (cause) {
    throw new StoreError(
      'STORE_KEYRING_INVALID',
      `${path} is not a keyring that we accept (${describeCause(cause)}): look at ${PREVIOUS_NAME} beside it, or a backup; ` +
        `nothing was changed`,
      { cause },
    )
  }
}
