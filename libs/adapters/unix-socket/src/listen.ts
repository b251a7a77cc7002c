import { type BigIntStats, lstatSync, unlinkSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { type Server } from 'node:net'
import { hasErrorCode } from '@sealwright/system-error'
import { bindPrivately } from './bind.ts'
import { claimPlace, removeLeftovers } from './claim.ts'
import { UnixSocketError } from './errors.ts'
import { type HeldFile, holdFile, isSameFile } from './held-file.ts'
import { knockAt, knockAtGivenSocket } from './knock.ts'
import { assertClosedFolder, giveSocket, type SocketOwner } from './owner.ts'
import { openPlace, type SocketPlace } from './place.ts'

/** `sun_path` holds 108 bytes with the closing zero (unix(7)). */
const MAX_PATH_BYTES = 107
const PRIVATE_MODE = 0o600

export interface ListenOptions {
  readonly path: string
  /** Permission bits of the socket, set before anybody can connect. Default 0600. */
  readonly mode?: number
  /**
   * Whom the socket is for, if not this user. Root needs no capability but CAP_CHOWN to give it, and to find out whether one that an earlier
   * program left behind is stale: it takes that for the moment of a knock.
   */
  readonly owner?: SocketOwner
  /**
   * Whether a folder is refused in which others than root, this user and `owner` may put a socket of theirs in its place: for a socket over which
   * clients send what is secret. Default: only with an `owner`.
   */
  readonly closedFolder?: boolean
}

/** A socket that a server listens on. */
export interface ListeningSocket {
  /**
   * Takes the socket away, before the server is closed: closing alone leaves it there, stale. What somebody else has put in its place stays.
   * May be called again, and does nothing then.
   */
  readonly remove: () => void
}

/**
 * Listens on a Unix socket. A stale socket (nobody answers) gives way, in one step; a live one, or any other kind of file, is never
 * touched. Of many programs that start at once, one listens. The socket has its owner and mode before it has its name.
 *
 * @throws {@link UnixSocketError} any of its codes. The server is closed then.
 */
export async function listenOnUnixSocket(server: Server, options: ListenOptions): Promise<ListeningSocket> {
  const { path, owner, closedFolder = owner !== undefined } = options
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new UnixSocketError(
      'SOCKET_PATH_TOO_LONG',
      `${path} is longer than ${MAX_PATH_BYTES} bytes: choose a shorter path`,
    )
  }
  try {
    await using place = await openPlace(path)
    if (closedFolder) assertClosedFolder(place, owner ?? {})
    await using claim = await claimPlace(place)
    await removeLeftovers(place, claim)
    return await listenAlone(server, place, options)
  } catch (cause) {
    throw explainFailure(path, cause)
  }
}

async function listenAlone(
  server: Server,
  place: SocketPlace,
  { mode = PRIVATE_MODE, owner }: ListenOptions,
): Promise<ListeningSocket> {
  await using found = await holdFile(place.target)
  if (found !== null) await assertStale(place.path, found, owner?.userId)
  const made = place.at(place.freshName('new'))
  try {
    await bindPrivately(server, made, owner === undefined ? mode : mode & PRIVATE_MODE)
    await using own = await holdFile(made)
    if (own === null) throw takenJustNow(place.path)
    if (owner !== undefined) await giveSocket(own, { owner, mode, path: place.path })
    // A program that knows nothing of claims may have come meanwhile.
    await using now = await holdFile(place.target)
    const isAsFound = found === null || now === null ? found === now : isSameFile(found.status, now.status)
    if (!isAsFound) throw takenJustNow(place.path)
    await rename(made, place.target)
    const { status } = own
    let isRemoved = false
    return {
      remove: () => {
        // Once it is gone, a file system may give its inode to the socket of the next program, which would look like this one.
        if (isRemoved) return
        isRemoved = true
        removeOwn(place.path, status)
      },
    }
  } catch (cause) {
    server.close()
    await rm(made, { force: true })
    throw cause
  }
}

async function assertStale(path: string, found: HeldFile, ownerId?: number): Promise<void> {
  if (!found.status.isSocket()) {
    throw new UnixSocketError(
      'SOCKET_PATH_TAKEN',
      `${path} is not a socket; it was left alone: move it away or choose another path`,
    )
  }
  const first = await knockAt(found.path)
  switch (first === 'forbidden' && ownerId !== undefined ? await knockAtGivenSocket(found, ownerId) : first) {
    case 'refused':
      return
    case 'answered':
      throw new UnixSocketError('SOCKET_IN_USE', `another program answers on ${path}: stop it or choose another path`)
    case 'forbidden':
      throw new UnixSocketError(
        'SOCKET_IN_USE',
        `${path} belongs to another user, and this one may not find out who listens on it: stop that program, or remove the socket if there is none`,
      )
  }
}

function removeOwn(path: string, own: BigIntStats): void {
  try {
    if (isSameFile(lstatSync(path, { bigint: true }), own)) unlinkSync(path)
  } catch {
    // It is gone; or it stays, and the next start takes its place.
  }
}

function takenJustNow(path: string): UnixSocketError {
  return new UnixSocketError('SOCKET_IN_USE', `another program took ${path} just now`)
}

function explainFailure(path: string, cause: unknown): unknown {
  if (!hasErrorCode(cause, 'ENOENT', 'ENOTDIR', 'EACCES', 'EROFS', 'EPERM')) return cause
  return new UnixSocketError(
    'SOCKET_FOLDER_UNUSABLE',
    `cannot make ${path}: its folder must exist, and be readable and writable by this user`,
    { cause },
  )
}
