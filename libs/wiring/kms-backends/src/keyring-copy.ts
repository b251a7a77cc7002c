import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StoreError } from '@sealwright/seal-store'
import { errorCodeOf, hasErrorCode } from '@sealwright/system-error'

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_DIRECTORY } = constants
const FILE_MODE = 0o600
/** Random part of a temporary name, in bytes. */
const TEMP_RANDOM_BYTES = 8

/** What is to be kept of a store. */
export interface CopyInput {
  readonly storePath: string
  /** What the store has. */
  readonly bytes: Uint8Array
  /** The newest version that is about to be taken from it. */
  readonly version: number
  /** Opens what was read back from the disk. If it throws, nothing may be taken from the store. */
  readonly prove: (bytesReadBack: Uint8Array) => Promise<void>
}

/**
 * Keeps a copy of a keyring in its store, before versions are taken from it: whole and on the disk when this returns. No copy is ever written
 * over; one that is the same already is taken for this one.
 *
 * @returns where it is: `keyring.before-retire-N`, or with a number behind it.
 * @throws {StoreError} `STORE_WRITE_FAILED`; what `prove` throws.
 * @see docs/formats/seal-store.md §1
 */
export async function keepCopy({ storePath, bytes, version, prove }: CopyInput): Promise<string> {
  const path = await placeCopy(storePath, bytes, version)
  await prove(await readFile(path))
  return path
}

async function placeCopy(storePath: string, bytes: Uint8Array, version: number): Promise<string> {
  const first = join(storePath, `keyring.before-retire-${version}`)
  const temp = join(storePath, `keyring.before-retire.${randomBytes(TEMP_RANDOM_BYTES).toString('hex')}.tmp`)
  try {
    for (let path = first, count = 2; ; path = `${first}.${count}`, count += 1) {
      if (await isTaken(path)) {
        if (!(await isSame(path, bytes))) continue
        await syncFolder(storePath)
        return path
      }
      await createSynced(temp, bytes)
      await rename(temp, path)
      await syncFolder(storePath)
      return path
    }
  } catch (cause) {
    await rm(temp, { force: true })
    throw new StoreError(
      'STORE_WRITE_FAILED',
      `no copy of the keyring could be kept in ${storePath} (${errorCodeOf(cause) ?? 'no code'}), and nothing was retired`,
      { cause },
    )
  }
}

/** Takes the name if nobody has it: a rename would take the place of what is there. */
async function isTaken(path: string): Promise<boolean> {
  try {
    await (await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE)).close()
    return false
  } catch (error) {
    if (hasErrorCode(error, 'EEXIST')) return true
    throw error
  }
}

async function isSame(path: string, bytes: Uint8Array): Promise<boolean> {
  await using file = await open(path, O_RDONLY | O_NOFOLLOW)
  return Buffer.compare(await file.readFile(), bytes) === 0
}

async function createSynced(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE)
  await file.writeFile(bytes)
  await file.sync()
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  await folder.sync()
}
