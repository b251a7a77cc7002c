import { type BigIntStats, constants } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { hasErrorCode } from '@sealwright/system-error'
import { readFailure, StoreError, writeFailure } from './errors.ts'
import { type FlockCommand, tryFlock } from './flock.ts'
import { type Folder, sameInode } from './folder.ts'
import { lockFileName, type StoreLockName } from './names.ts'
import { assertPrivate, FILE_MODE } from './permissions.ts'

/** Held until disposed of, or until this process ends, however it ends. */
export interface StoreLock extends AsyncDisposable {
  readonly name: StoreLockName
}

/** How a lock is taken. */
export interface LockOptions {
  readonly flockCommand: FlockCommand
  /** How long to wait: for the writer lock to become free, for the agent lock only for `flock` to answer. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Pause before a lock is tried again: the first, doubled each time up to the longest. */
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 100

/** Most bytes of the note on its holder that are read from a lock file. */
const NOTE_MAX_BYTES = 256

const notePattern = /^pid ([1-9][0-9]{0,9}) on ([\w.-]{1,64})\n$/

/**
 * Takes a lock of the store. The agent lock is taken or refused at once; for the writer lock it waits.
 *
 * @throws {@link StoreError} `STORE_IN_USE` (agent), `STORE_LOCK_TIMEOUT`, `STORE_LOCK_FAILED`, `STORE_TOOL_MISSING`,
 * `STORE_NOT_A_FILE`, `STORE_UNSAFE_PERMISSIONS`, the codes of a failed write; the reason of `signal`.
 */
export async function lockFolder(folder: Folder, name: StoreLockName, options: LockOptions): Promise<StoreLock> {
  const deadline = AbortSignal.timeout(options.timeoutMs)
  const limit = AbortSignal.any([options.signal, deadline])
  let holder = ''
  try {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const attempt = await tryLock(folder, name, options.flockCommand, limit)
      if (attempt.kind === 'locked') return attempt.lock
      if (attempt.kind === 'busy') {
        holder = attempt.holder
        if (name === 'agent') {
          throw new StoreError(
            'STORE_IN_USE',
            `another program holds ${folder.path}: ${holder}. Stop it first; one store serves one agent or KMS plugin`,
          )
        }
      }
      await delay(pauseMs, undefined, { signal: limit })
    }
  } catch (cause) {
    if (!deadline.aborted || options.signal.aborted || cause instanceof StoreError) {
      options.signal.throwIfAborted()
      throw cause
    }
    throw new StoreError(
      'STORE_LOCK_TIMEOUT',
      `${folder.shown(lockFileName(name))} was not free within ${options.timeoutMs} ms: ` +
        `${holder === '' ? 'the flock program did not answer' : holder}. Look what it is waiting for`,
      { cause },
    )
  }
}

/**
 * Makes the file of a lock, empty, if there is none: so that whoever takes the lock later needs no space on the disk, and may find
 * it read-only. The caller syncs the folder.
 *
 * @throws {@link StoreError} the codes of a failed write. A file that was made stays even then: somebody may hold it already.
 */
export async function ensureLockFile(folder: Folder, name: StoreLockName): Promise<void> {
  const fileName = lockFileName(name)
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    await using file = await open(folder.at(fileName), flags, FILE_MODE)
    // The umask may have taken bits at open.
    await file.chmod(FILE_MODE)
    await file.sync()
  } catch (cause) {
    // Whatever is there, it is for whoever takes the lock to judge.
    if (!hasErrorCode(cause, 'EEXIST')) throw writeFailure(folder.shown(fileName), cause)
  }
}

/** `replaced`: the lock file was removed while we took it, so what we hold locks nobody out. */
type Attempt = { kind: 'locked'; lock: StoreLock } | { kind: 'busy'; holder: string } | { kind: 'replaced' }

async function tryLock(
  folder: Folder,
  name: StoreLockName,
  flockCommand: FlockCommand,
  signal: AbortSignal,
): Promise<Attempt> {
  const { handle, writable } = await openLockFile(folder, lockFileName(name))
  let kept = false
  try {
    const shown = folder.shown(lockFileName(name))
    assertPrivate(shown, await handle.stat())
    if ((await tryFlock(handle.fd, flockCommand, signal)) === 'busy') {
      return { kind: 'busy', holder: await readNote(handle) }
    }
    if (!(await isStillNamed(folder, name, handle))) return { kind: 'replaced' }
    if (writable) await writeNote(handle, shown)
    kept = true
    return { kind: 'locked', lock: { name, [Symbol.asyncDispose]: () => handle.close() } }
  } finally {
    if (!kept) await handle.close()
  }
}

async function openLockFile(folder: Folder, fileName: string): Promise<{ handle: FileHandle; writable: boolean }> {
  const path = folder.at(fileName)
  const common = constants.O_NOFOLLOW | constants.O_NONBLOCK
  let opened: { handle: FileHandle; writable: boolean }
  try {
    opened = { handle: await open(path, constants.O_RDWR | constants.O_CREAT | common, FILE_MODE), writable: true }
  } catch (cause) {
    if (!hasErrorCode(cause, 'EROFS')) throw openFailure(folder.shown(fileName), cause)
    try {
      // An agent must be able to start from a disk that errors made read-only; reading is all the lock needs.
      opened = { handle: await open(path, constants.O_RDONLY | common), writable: false }
    } catch {
      throw writeFailure(folder.shown(fileName), cause)
    }
  }
  if ((await opened.handle.stat()).isFile()) return opened
  await opened.handle.close()
  throw new StoreError('STORE_NOT_A_FILE', `${folder.shown(fileName)} is not a regular file: remove it`)
}

function openFailure(path: string, cause: unknown): StoreError {
  if (hasErrorCode(cause, 'EISDIR')) {
    return new StoreError('STORE_NOT_A_FILE', `${path} is a folder: remove it`, { cause })
  }
  return hasErrorCode(cause, 'ELOOP', 'ENXIO') ? readFailure(path, cause) : writeFailure(path, cause)
}

async function isStillNamed(folder: Folder, name: StoreLockName, handle: FileHandle): Promise<boolean> {
  let named: BigIntStats
  try {
    named = await lstat(folder.at(lockFileName(name)), { bigint: true })
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return false
    throw readFailure(folder.shown(lockFileName(name)), cause)
  }
  return sameInode(named, await handle.stat({ bigint: true }))
}

/** For the message to a second agent only: nothing is decided by it. */
async function writeNote(handle: FileHandle, path: string): Promise<void> {
  try {
    await handle.truncate(0)
    await handle.write(`pid ${process.pid} on ${hostname()}\n`, 0)
  } catch (cause) {
    const failure = writeFailure(path, cause)
    // The lock is held already, and a full disk must not keep an agent from starting.
    if (failure.code !== 'STORE_DISK_FULL') throw failure
  }
}

async function readNote(handle: FileHandle): Promise<string> {
  const { bytesRead, buffer } = await handle.read(new Uint8Array(NOTE_MAX_BYTES), 0, NOTE_MAX_BYTES, 0)
  const note = notePattern.exec(Buffer.from(buffer.subarray(0, bytesRead)).toString('latin1'))
  if (note === null) return 'its process id is not known'
  return `process ${note[1] ?? ''} on host ${note[2] ?? ''} wrote its id there`
}
