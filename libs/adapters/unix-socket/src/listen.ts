import { type BigIntStats } from 'node:fs'
import { lstat, rm } from 'node:fs/promises'
import { type Server } from 'node:net'
import { umask } from 'node:process'
import { hasErrorCode } from '@sealwright/system-error'
import { UnixSocketError } from './errors.ts'
import { knockAt, knockAtGivenSocket } from './knock.ts'

/** `sun_path` holds 108 bytes with the closing zero (unix(7)). */
const MAX_PATH_BYTES = 107
/** Connections that may wait to be taken; one more is refused to its client with EAGAIN. Node's own 511 are few for a busy moment. */
const BACKLOG = 2_048

export interface ListenOptions {
  readonly path: string
  /** Permission bits of the socket, set before anybody can connect. Default 0600. */
  readonly mode?: number
  /**
   * The user to whom the caller gives its socket, if it does so: a stale one may be that user's.
   *
   * Root without CAP_DAC_OVERRIDE may not knock at such a one. It then takes it for the moment of the knock, which needs CAP_CHOWN.
   */
  readonly givenToUserId?: number
}

/**
 * Listens on a Unix socket. A stale socket (nobody answers) is removed first; a live one, or any other kind of file,
 * is never touched.
 *
 * @throws {@link UnixSocketError} any of its codes.
 */
export async function listenOnUnixSocket(
  server: Server,
  { path, mode = 0o600, givenToUserId }: ListenOptions,
): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new UnixSocketError(
      'SOCKET_PATH_TOO_LONG',
      `${path} is longer than ${MAX_PATH_BYTES} bytes: choose a shorter path`,
    )
  }
  await removeStaleSocket(path, givenToUserId)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    // bind(2) happens inside listen(): the mask is in force for it alone, so the socket is never wider than `mode`.
    const earlierMask = umask(0o777 & ~mode)
    try {
      server.listen({ path, backlog: BACKLOG }, () => {
        server.off('error', reject)
        resolve()
      })
    } finally {
      umask(earlierMask)
    }
  }).catch((cause: unknown) => {
    throw explainListenFailure(path, cause)
  })
}

async function removeStaleSocket(path: string, givenToUserId: number | undefined): Promise<void> {
  const found = await lookAt(path)
  if (found === null) return
  if (!found.isSocket()) {
    throw new UnixSocketError(
      'SOCKET_PATH_TAKEN',
      `${path} is not a socket; it was left alone: move it away or choose another path`,
    )
  }
  const first = await knockAt(path)
  const knock =
    first === 'forbidden' && givenToUserId !== undefined ? await knockAtGivenSocket(path, givenToUserId) : first
  switch (knock) {
    case 'refused': {
      // Another program may have come meanwhile, found the same, and put its own there.
      const now = await lookAt(path)
      if (now !== null && (now.ino !== found.ino || now.dev !== found.dev)) throw takenJustNow(path)
      await rm(path, { force: true })
      return
    }
    case 'answered':
      throw new UnixSocketError('SOCKET_IN_USE', `another program answers on ${path}: stop it or choose another path`)
    case 'forbidden':
      throw new UnixSocketError(
        'SOCKET_IN_USE',
        `${path} belongs to another user, and this one may not find out who listens on it: stop that program, or remove the socket if there is none`,
      )
  }
}

async function lookAt(path: string): Promise<BigIntStats | null> {
  try {
    return await lstat(path, { bigint: true })
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return null
    throw explainListenFailure(path, cause)
  }
}

function takenJustNow(path: string, cause?: unknown): UnixSocketError {
  return new UnixSocketError('SOCKET_IN_USE', `another program took ${path} just now`, { cause })
}

function explainListenFailure(path: string, cause: unknown): unknown {
  if (hasErrorCode(cause, 'EADDRINUSE')) return takenJustNow(path, cause)
  if (hasErrorCode(cause, 'ENOENT', 'ENOTDIR', 'EACCES', 'EROFS', 'EPERM')) {
    return new UnixSocketError(
      'SOCKET_FOLDER_UNUSABLE',
      `cannot make ${path}: its folder must exist and be writable by this user`,
      { cause },
    )
  }
  return cause
}
