import { lstat, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { umask } from 'node:process'
import { hasErrorCode } from '@sealwright/system-error'
import { UnixSocketError } from './errors.ts'

/** `sun_path` holds 108 bytes with the closing zero (unix(7)). */
const MAX_PATH_BYTES = 107
/** Connections that may wait to be taken; one more is refused to its client with EAGAIN. Node's own 511 are few for a busy moment. */
const BACKLOG = 2_048

export interface ListenOptions {
  readonly path: string
  /** Permission bits of the socket, set before anybody can connect. Default 0600. */
  readonly mode?: number
}

/**
 * Listens on a Unix socket. A stale socket (nobody answers) is removed first; a live one, or any other kind of file,
 * is never touched.
 *
 * @throws {@link UnixSocketError} any of its codes.
 */
export async function listenOnUnixSocket(server: Server, { path, mode = 0o600 }: ListenOptions): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new UnixSocketError(
      'SOCKET_PATH_TOO_LONG',
      `${path} is longer than ${MAX_PATH_BYTES} bytes: choose a shorter path`,
    )
  }
  await removeStaleSocket(path)
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

async function removeStaleSocket(path: string): Promise<void> {
  const kind = await kindOf(path)
  if (kind === 'nothing') return
  if (kind === 'other') {
    throw new UnixSocketError(
      'SOCKET_PATH_TAKEN',
      `${path} is not a socket; it was left alone: move it away or choose another path`,
    )
  }
  if (await isAnswered(path)) {
    throw new UnixSocketError('SOCKET_IN_USE', `another program answers on ${path}: stop it or choose another path`)
  }
  await unlink(path)
}

async function kindOf(path: string): Promise<'nothing' | 'socket' | 'other'> {
  try {
    return (await lstat(path)).isSocket() ? 'socket' : 'other'
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return 'nothing'
    throw explainListenFailure(path, cause)
  }
}

/** Only "connection refused" proves that nobody is there; every doubt counts as an answer. */
async function isAnswered(path: string): Promise<boolean> {
  return await new Promise(resolve => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', error => {
      resolve(!hasErrorCode(error, 'ECONNREFUSED', 'ENOENT'))
    })
  })
}

function explainListenFailure(path: string, cause: unknown): unknown {
  if (hasErrorCode(cause, 'EADDRINUSE')) {
    return new UnixSocketError('SOCKET_IN_USE', `another program took ${path} just now`, { cause })
  }
  if (hasErrorCode(cause, 'ENOENT', 'ENOTDIR', 'EACCES', 'EROFS', 'EPERM')) {
    return new UnixSocketError(
      'SOCKET_FOLDER_UNUSABLE',
      `cannot make ${path}: its folder must exist and be writable by this user`,
      { cause },
    )
  }
  return cause
}
