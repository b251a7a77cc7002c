import { randomBytes } from 'node:crypto'
import { type FileHandle, rename } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { StoreError, writeFailure } from './errors.ts'
import { type Folder, openFolder } from './folder.ts'
import { createFile, openEntry, readWhole, removeIfPossible } from './regular-file.ts'

/** Most bytes a placed file may have. */
export const PLACED_FILE_MAX_BYTES = 1024 * 1024

/** How many lines of a file are searched for the line that shows it to be ours. */
const OWNER_LINES = 2

/** Random part of a temporary name, in bytes. */
const TEMP_RANDOM_BYTES = 8

/** What to place, and where. */
export interface PlacedFile {
  /** Its folder must exist and must not itself be a symbolic link. */
  readonly path: string
  /** 1 … 1,048,576 bytes. */
  readonly bytes: Uint8Array
  /** Such as 0o555. Exactly this, whatever the umask. */
  readonly mode: number
  /** How line 1 or 2 of every version of this file begins, such as `# Sealwright connector`. Nothing else is replaced. */
  readonly ownerLine: string
  /** Whether a file of ours with another content gives way. It may be one that somebody has written down the hash of. */
  readonly replace: boolean
}

/**
 * What became of it.
 * - `placed`: nothing was there;
 * - `replaced`: another content gave way, or the same one had another mode;
 * - `unchanged`: content and mode were right already, and nothing was touched;
 * - `kept`: a file of ours with another content is there and stays, nothing was touched. `found` is that content.
 */
export type PlaceOutcome =
  { readonly kind: 'placed' | 'replaced' | 'unchanged' } | { readonly kind: 'kept'; readonly found: Uint8Array }

/**
 * Puts a program of ours where another program will start it: atomic, lasting, and only if it differs.
 *
 * Two at once do no harm. A kill may leave `.<name>.<random>.tmp` behind, which is never taken for the file.
 *
 * @throws {@link StoreError} `STORE_FILE_NOT_OURS`, `STORE_NOT_A_FILE`, `STORE_NOT_FOUND` (its folder), `STORE_NOT_A_FOLDER`,
 * `STORE_UNREADABLE`, `STORE_TOO_LARGE` and the codes of a failed write.
 * @throws {TypeError} if the bytes do not carry `ownerLine` themselves.
 */
export async function placeFile(file: PlacedFile): Promise<PlaceOutcome> {
  if (file.bytes.byteLength > PLACED_FILE_MAX_BYTES) {
    throw new StoreError('STORE_TOO_LARGE', `${file.path} may have ${PLACED_FILE_MAX_BYTES} bytes`)
  }
  if (!carriesLine(file.bytes, file.ownerLine)) throw new TypeError('the file to place does not carry its owner line')
  const path = resolve(file.path)
  const name = basename(path)
  await using folder = await openFolder(dirname(path), 'make it, or mount its volume, first')
  const found = await inspect(folder, name, file)
  if (found.kind === 'same') return { kind: 'unchanged' }
  if (found.kind === 'other content' && !file.replace) return { kind: 'kept', found: found.bytes }
  const temp = `.${name}.${randomBytes(TEMP_RANDOM_BYTES).toString('hex')}.tmp`
  await createFile(folder, temp, file, () => undefined)
  try {
    await rename(folder.at(temp), folder.at(name))
  } catch (cause) {
    await removeIfPossible(folder, temp)
    throw writeFailure(path, cause)
  }
  try {
    await folder.sync()
  } catch (cause) {
    throw writeFailure(path, cause, 'the file is in place, but may not survive a power cut')
  }
  return { kind: found.kind === 'absent' ? 'placed' : 'replaced' }
}

type Found =
  { readonly kind: 'absent' | 'same' | 'other mode' } | { readonly kind: 'other content'; readonly bytes: Uint8Array }

async function inspect(folder: Folder, name: string, file: PlacedFile): Promise<Found> {
  await using entry: FileHandle | undefined = await openEntry(folder, name)
  if (entry === undefined) return { kind: 'absent' }
  const bytes = await readWhole(entry, folder.shown(name), PLACED_FILE_MAX_BYTES)
  if (!carriesLine(bytes, file.ownerLine)) {
    throw new StoreError(
      'STORE_FILE_NOT_OURS',
      `${folder.shown(name)} has no line "${file.ownerLine}", so it is not ours and stays: move it away, or use another path`,
    )
  }
  if (Buffer.compare(bytes, file.bytes) !== 0) return { kind: 'other content', bytes }
  return { kind: ((await entry.stat()).mode & 0o7777) === file.mode ? 'same' : 'other mode' }
}

function carriesLine(bytes: Uint8Array, ownerLine: string): boolean {
  if (ownerLine === '') return false
  const lines = Buffer.from(bytes).toString('latin1').split('\n', OWNER_LINES)
  return lines.some(line => line.startsWith(Buffer.from(ownerLine).toString('latin1')))
}
