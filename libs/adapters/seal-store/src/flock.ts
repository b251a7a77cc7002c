import { type ChildProcess, spawn } from 'node:child_process'
import { hasErrorCode } from '@sealwright/system-error'
import { reasonOf, StoreError } from './errors.ts'

/** The program and its first arguments, such as `['flock']` or `['busybox', 'flock']`. */
export type FlockCommand = readonly [string, ...string[]]

/** Where a program given without a path is looked for. Ours, not the environment's: nobody else chooses the program. */
const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The descriptor's number in the child. */
const CHILD_DESCRIPTOR = 3

/** Most of what the program may say on stderr that we keep, in characters. */
const STDERR_MAX_CHARS = 500

/**
 * Locks an open file exclusively, with flock(2), without waiting.
 *
 * Node has no flock. But such a lock belongs to the open file *description*, which parent and child share: the program
 * locks its copy of the descriptor and ends, and ours keeps the lock until it is closed, by us or by our death.
 *
 * @returns `busy` if somebody else holds the lock.
 * @throws {@link StoreError} `STORE_TOOL_MISSING`, `STORE_LOCK_FAILED`; the reason of `signal`.
 * @see flock(2), flock(1)
 */
export async function tryFlock(fd: number, command: FlockCommand, signal: AbortSignal): Promise<'locked' | 'busy'> {
  signal.throwIfAborted()
  const [program, ...args] = command
  const child = spawn(program, [...args, '-n', String(CHILD_DESCRIPTOR)], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    env: { PATH: SEARCH_PATH, LC_ALL: 'C' },
  })
  const kill = (): void => {
    child.kill('SIGKILL')
  }
  signal.addEventListener('abort', kill, { once: true })
  try {
    const end = await ended(child)
    // The caller closes the descriptor, which frees a lock that was taken just before the end.
    signal.throwIfAborted()
    if (end.status === 0) return 'locked'
    // util-linux and busybox both end with 1, silently, if the lock is taken; all other failures say something.
    if (end.status === 1 && end.stderr === '') return 'busy'
    throw new StoreError(
      'STORE_LOCK_FAILED',
      `${command.join(' ')} ended with ${end.status ?? 'a signal'} instead of locking: ` +
        `check that the file system knows flock (${end.stderr.trim()})`,
    )
  } finally {
    signal.removeEventListener('abort', kill)
  }

  function ended(running: ChildProcess): Promise<{ status: number | null; stderr: string }> {
    return new Promise((resolve, reject) => {
      let stderr = ''
      running.stderr?.setEncoding('utf8').on('data', (text: string) => {
        stderr = (stderr + text).slice(0, STDERR_MAX_CHARS)
      })
      running.once('error', cause => {
        reject(startFailure(program, cause))
      })
      running.once('close', status => {
        resolve({ status, stderr })
      })
    })
  }
}

function startFailure(program: string, cause: unknown): StoreError {
  if (hasErrorCode(cause, 'ENOENT', 'EACCES')) {
    return new StoreError(
      'STORE_TOOL_MISSING',
      `the program ${program} cannot be started: install util-linux, or busybox with flock, in this image`,
      { cause },
    )
  }
  return new StoreError('STORE_LOCK_FAILED', `${program} could not be started (${reasonOf(cause)}): try again`, {
    cause,
  })
}
