import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { hasErrorCode } from '@sealwright/system-error'
import { folderFailure, readFailure, writeFailure } from './errors.ts'

/** Mode of the folder of a log. */
const FOLDER_MODE = 0o700
/** Mode of its files. */
const FILE_MODE = 0o600

/** An open folder. Files are reached through its descriptor, so that nobody can lead us elsewhere by moving it. */
export interface LogFolder extends AsyncDisposable {
  /** The path of an entry, for messages. */
  shown(name: string): string
  list(): Promise<readonly string[]>
  /** Opens a file for reading; `undefined` if there is none. Links are not followed, pipes do not block. */
  openForReading(name: string): Promise<FileHandle | undefined>
  openForWriting(name: string, how: 'append' | 'replace'): Promise<FileHandle>
  /** The path for system calls on the entry `name`, by way of the descriptor (Node has no `openat`). */
  at(name: string): string
  /** Makes made and renamed names last. */
  sync(): Promise<void>
}

/**
 * Opens the folder of a log. The last part of its path must not be a link.
 *
 * @param options.create - makes it, with mode 0700, if it is missing. The folder above must exist.
 * @throws {@link AuditLogError} `AUDIT_LOG_FOLDER_UNUSABLE`.
 */
export async function openLogFolder(path: string, options: { readonly create: boolean }): Promise<LogFolder> {
  const absolute = resolve(path)
  const handle = await openHandle(absolute, options.create)
  const at = (name: string): string => `/proc/self/fd/${handle.fd}/${name}`
  const shown = (name: string): string => `${absolute}/${name}`
  return {
    at,
    shown,
    async list() {
      try {
        return await readdir(at('.'))
      } catch (cause) {
        throw folderFailure(absolute, cause)
      }
    },
    async openForReading(name) {
      try {
        return await open(at(name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      } catch (cause) {
        if (hasErrorCode(cause, 'ENOENT')) return undefined
        throw readFailure(shown(name), cause)
      }
    },
    async openForWriting(name, how) {
      const extra = how === 'append' ? constants.O_APPEND : constants.O_CREAT | constants.O_TRUNC
      try {
        return await open(at(name), constants.O_WRONLY | constants.O_NOFOLLOW | extra, FILE_MODE)
      } catch (cause) {
        throw writeFailure(shown(name), cause)
      }
    },
    async sync() {
      try {
        await handle.sync()
      } catch (cause) {
        throw writeFailure(absolute, cause)
      }
    },
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

async function openHandle(path: string, create: boolean): Promise<FileHandle> {
  try {
    if (create) await makeFolder(path)
    return await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  } catch (cause) {
    throw folderFailure(path, cause)
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: FOLDER_MODE })
  } catch (cause) {
    // A folder on a read-only disk may answer with EROFS: opening it tells.
    if (!hasErrorCode(cause, 'EEXIST', 'EROFS')) throw cause
  }
}
