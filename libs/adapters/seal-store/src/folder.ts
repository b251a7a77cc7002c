import { constants, type BigIntStats } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { errorCodeOf, hasErrorCode } from '@sealwright/system-error'
import { readFailure, reasonOf, StoreError, writeFailure } from './errors.ts'

/**
 * An open folder. Every file in it is reached through the open descriptor, so that whoever renames the
 * folder, or puts a link in its place, cannot lead us elsewhere.
 */
export interface Folder extends AsyncDisposable {
  /** The path as given, absolute. For messages only. */
  readonly path: string
  readonly handle: FileHandle
  /** The path for system calls on the entry `name`, by way of the descriptor (Node has no `openat`). */
  at(name: string): string
  /** The path for messages about the entry `name`. */
  shown(name: string): string
  /** Names of all entries. @throws {@link StoreError} `STORE_UNREADABLE`. */
  list(): Promise<string[]>
  /** Makes created, renamed and removed names last. Throws the bare system error. */
  sync(): Promise<void>
  /** Checks that the path still leads to this folder. @throws {@link StoreError} `STORE_MOVED`. */
  assertInPlace(): Promise<void>
}

/** Mode of a store's folder. */
export const FOLDER_MODE = 0o700

/** What to do about a missing folder of a seal store. */
const STORE_REMEDY = 'check that its volume is mounted, and run bootstrap-init if this node is new'

/**
 * Opens a folder. The last part of the path must not be a symbolic link; links further up are followed.
 *
 * @param remedyIfMissing - what the operator should do when there is none.
 * @throws {@link StoreError} `STORE_NOT_FOUND`, `STORE_NOT_A_FOLDER`, `STORE_UNREADABLE`.
 */
export async function openFolder(givenPath: string, remedyIfMissing = STORE_REMEDY): Promise<Folder> {
  // A trailing slash would make the system follow a final link: `resolve` drops it.
  const path = resolve(givenPath)
  const handle = await openFolderHandle(path, remedyIfMissing)
  const base = `/proc/self/fd/${handle.fd}`
  const folder: Folder = {
    path,
    handle,
    at: name => `${base}/${name}`,
    shown: name => `${path}/${name}`,
    async list() {
      try {
        return await readdir(`${base}/.`)
      } catch (cause) {
        throw readFailure(path, cause)
      }
    },
    sync: () => handle.sync(),
    assertInPlace: () => assertInPlace(path, handle),
    [Symbol.asyncDispose]: () => handle.close(),
  }
  try {
    await assertProcWorks(folder)
  } catch (cause) {
    await handle.close()
    throw cause
  }
  return folder
}

/**
 * Makes the folder with mode 0700 if nothing is there, and makes its name last. The folder above must exist.
 *
 * @throws {@link StoreError} `STORE_NOT_FOUND`, `STORE_UNREADABLE` (the folder above), and the codes of a failed write.
 */
export async function createFolder(givenPath: string): Promise<void> {
  const path = resolve(givenPath)
  const parent = dirname(path)
  try {
    await mkdir(path, { mode: FOLDER_MODE })
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) {
      throw new StoreError('STORE_NOT_FOUND', `${parent} does not exist: make it, or mount its volume, first`, {
        cause,
      })
    }
    // On a read-only file system even a folder that exists may be reported by EROFS: look.
    const isThere = hasErrorCode(cause, 'EEXIST') || (hasErrorCode(cause, 'EROFS') && (await exists(path)))
    if (!isThere) throw writeFailure(path, cause)
  }
  // Also when it was there before: whoever made it may have been killed before this line.
  await using above = await openParent(parent)
  try {
    await above.sync()
  } catch (cause) {
    throw writeFailure(parent, cause)
  }
}

/** Opens the folder above, which an operator may well reach through a link. */
export async function openParent(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    throw readFailure(path, cause)
  }
}

async function openFolderHandle(path: string, remedyIfMissing: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  } catch (cause) {
    switch (errorCodeOf(cause)) {
      case 'ENOENT':
        throw new StoreError('STORE_NOT_FOUND', `${path} does not exist: ${remedyIfMissing}`, { cause })
      case 'ENOTDIR':
      case 'ELOOP':
        throw new StoreError(
          'STORE_NOT_A_FOLDER',
          `${path} is not a folder (a symbolic link is not followed): name the folder itself`,
          { cause },
        )
      case undefined:
      default:
        throw readFailure(path, cause)
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return false
    throw readFailure(path, cause)
  }
}

/** Without /proc every file would look missing, and a full store would be taken for an empty one. */
async function assertProcWorks(folder: Folder): Promise<void> {
  try {
    if (sameInode(await stat(folder.at('.'), { bigint: true }), await folder.handle.stat({ bigint: true }))) return
  } catch (cause) {
    throw new StoreError(
      'STORE_UNREADABLE',
      `${folder.path} cannot be reached through /proc/self/fd: mount /proc in this container (${reasonOf(cause)})`,
      { cause },
    )
  }
  throw new StoreError('STORE_UNREADABLE', `/proc/self/fd does not lead to ${folder.path}: mount a real /proc`)
}

async function assertInPlace(path: string, handle: FileHandle): Promise<void> {
  let now: BigIntStats | undefined
  try {
    now = await lstat(path, { bigint: true })
  } catch (cause) {
    if (!hasErrorCode(cause, 'ENOENT', 'ENOTDIR')) throw readFailure(path, cause)
  }
  if (now !== undefined && sameInode(now, await handle.stat({ bigint: true }))) return
  throw new StoreError(
    'STORE_MOVED',
    `${path} is not the folder it was when it was opened: check its mount, then start this program again`,
  )
}

/** Whether two looks at a file saw the same one. */
export function sameInode(one: BigIntStats, other: BigIntStats): boolean {
  return one.dev === other.dev && one.ino === other.ino
}
