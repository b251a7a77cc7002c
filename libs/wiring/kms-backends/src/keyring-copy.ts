import { constants } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sameBytes } from '@sealwright/bytes'
import { type NewFile, openNewFile, syncFolder } from '@sealwright/durable-file'
import { StoreError } from '@sealwright/seal-store'
import { errorCodeOf, hasErrorCode } from '@sealwright/system-error'

const FILE_MODE = 0o600

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
  try {
    for (let path = first, count = 2; ; path = `${first}.${count}`, count += 1) {
      await using copy = await openUnlessTaken(path)
      if (copy !== null) {
        await copy.fill(bytes)
        return path
      }
      if (!(await isSame(path, bytes))) continue
      await syncFolder(storePath)
      return path
    }
  } catch (cause) {
    throw new StoreError(
      'STORE_WRITE_FAILED',
      `no copy of the keyring could be kept in ${storePath} (${errorCodeOf(cause) ?? 'no code'}), and nothing was retired`,
      { cause },
    )
  }
}

/** Takes the name if nobody has it: a rename would take the place of what is there. */
async function openUnlessTaken(path: string): Promise<NewFile | null> {
  try {
    return await openNewFile(path, { mode: FILE_MODE })
  } catch (error) {
    if (hasErrorCode(error, 'EEXIST')) return null
    throw error
  }
}

async function isSame(path: string, bytes: Uint8Array): Promise<boolean> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  return sameBytes(await file.readFile(), bytes)
}
