import { type Stats } from 'node:fs'
import { chmod, chown, lstat, mkdir } from 'node:fs/promises'
import { hasErrorCode } from '@sealwright/system-error'
import { ioFailure, StaticDeliveryError } from './errors.ts'

/** Who may read what lies in the folder, beside our own user. */
export interface Access {
  /** OpenBao's group; we must be a member of it, or root. `undefined`: OpenBao runs as our own user. */
  readonly groupId: number | undefined
}

const PERMISSIONS = 0o777
const OTHERS_MAY_WRITE = 0o022
const NEW_FOLDER_MODE = 0o700
const SHARED_FOLDER_MODE = 0o710
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/**
 * Makes the folder ready: ours alone to write to, for the group to pass through. The folder above must exist.
 *
 * @throws {@link StaticDeliveryError} `STATIC_DELIVERY_FOLDER_UNUSABLE`, `STATIC_DELIVERY_IO_FAILED`.
 */
export async function prepareFolder(path: string, { groupId }: Access): Promise<void> {
  try {
    await makeIfMissing(path)
    const stats = await lstat(path)
    if (!stats.isDirectory()) throw unusable(path, 'it is not a folder')
    if (!isOurs(stats)) throw unusable(path, 'it belongs to another user')
    if ((stats.mode & OTHERS_MAY_WRITE) !== 0) throw unusable(path, 'others may write to it')
    // As it was made: just now, or by an agent that was killed before it came further.
    if (groupId !== undefined && (stats.mode & PERMISSIONS) === NEW_FOLDER_MODE) {
      await chown(path, -1, groupId)
      await chmod(path, SHARED_FOLDER_MODE)
    }
  } catch (cause) {
    throw ioFailure(`prepare the folder ${path}`, cause)
  }
}

/** Refuses names that would leave the folder, or hide in it. @throws {@link StaticDeliveryError} `STATIC_DELIVERY_NAME_INVALID`. */
export function assertFileName(name: string): void {
  if (FILE_NAME.test(name)) return
  const message = `"${name}" is no file name of up to 64 letters, digits, ".", "_" and "-"`
  throw new StaticDeliveryError('STATIC_DELIVERY_NAME_INVALID', message)
}

/** What is at this path; `undefined` if nothing is. Links are not followed. */
export async function statIfAny(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Whether it belongs to the user that we run as. */
export function isOurs(stats: Pick<Stats, 'uid'>): boolean {
  return stats.uid === process.geteuid?.()
}

/** An error for something in the place of a file of ours. */
export function foreignFile(path: string, instead: string): StaticDeliveryError {
  const message = `${path} is not ours, in the place of ${instead}: find out who put it there and move it away`
  return new StaticDeliveryError('STATIC_DELIVERY_FOREIGN_FILE', message)
}

async function makeIfMissing(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: NEW_FOLDER_MODE })
  } catch (error) {
    if (hasErrorCode(error, 'EEXIST')) return
    if (hasErrorCode(error, 'ENOENT')) throw unusable(path, 'the folder above it does not exist')
    throw error
  }
}

function unusable(path: string, why: string): StaticDeliveryError {
  const message = `cannot use ${path}: ${why}. Name a folder that does not exist yet, in a volume in memory`
  return new StaticDeliveryError('STATIC_DELIVERY_FOLDER_UNUSABLE', message)
}
