import { type BigIntStats } from 'node:fs'
import { chmod, chown } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UnixSocketError } from './errors.ts'
import { type HeldFile, UNCHANGED } from './held-file.ts'

const ROOT_USER_ID = 0
/** Write bits of the group and of all others. */
const WRITABLE_BY_OTHERS = 0o022n
const MODE_BITS = 0o7777n

/** Whom a socket is given to. What is left out stays as it is. */
export interface SocketOwner {
  readonly userId?: number
  readonly groupId?: number
}

/** What {@link assertClosedFolder} needs to know: a place has it. */
export interface FolderOfSocket {
  readonly path: string
  readonly folderStatus: Pick<BigIntStats, 'mode' | 'uid'>
}

/** What {@link giveSocket} needs to know. */
export interface Gift {
  readonly owner: SocketOwner
  readonly mode: number
  /** What the operator knows the socket by. */
  readonly path: string
}

/**
 * Asserts that nobody but root, this user and the one that the socket is for can put files into its folder, or take them away: who can could
 * put a socket of its own in its place, and be told what is for the owner.
 *
 * @throws {@link UnixSocketError} `SOCKET_FOLDER_UNUSABLE`
 */
export function assertClosedFolder(
  { path, folderStatus: { mode, uid } }: FolderOfSocket,
  { userId }: SocketOwner,
): void {
  const folder = dirname(path)
  if ((mode & WRITABLE_BY_OTHERS) !== 0n) {
    throw new UnixSocketError(
      'SOCKET_FOLDER_UNUSABLE',
      `${folder} has mode 0${(mode & MODE_BITS).toString(8)}, so that others may put a socket of theirs in place of ${path}: take the right to write from them (chmod go-w ${folder})`,
    )
  }
  if (![ROOT_USER_ID, process.geteuid?.(), userId].includes(Number(uid))) {
    throw new UnixSocketError(
      'SOCKET_FOLDER_UNUSABLE',
      `${folder} belongs to user ${uid}, who may put another socket in place of ${path}: give the folder to root or to this program's user (chown), or choose another one`,
    )
  }
}

/** Whether it can only be a socket of this user's that was just made: another name of an older one would give that away. */
function isOwnAlone(status: BigIntStats): boolean {
  return status.isSocket() && status.nlink === 1n && Number(status.uid) === process.geteuid?.()
}

/**
 * Gives a socket to its group, then the mode that it is to have, then to its user. Until then it has to be closed to all but its maker.
 * Root needs no other capability than CAP_CHOWN for it.
 *
 * @throws {@link UnixSocketError} `SOCKET_OWNER_REFUSED`, also for what is no socket.
 */
export async function giveSocket(socket: HeldFile, { owner: { userId, groupId }, mode, path }: Gift): Promise<void> {
  try {
    if (!isOwnAlone(socket.status)) throw new Error('another file is in its place')
    // The user comes last: root without CAP_FOWNER changes the mode of no file that is not its own any more.
    await chown(socket.path, UNCHANGED, groupId ?? UNCHANGED)
    await chmod(socket.path, mode)
    await chown(socket.path, userId ?? UNCHANGED, UNCHANGED)
  } catch (cause) {
    throw new UnixSocketError(
      'SOCKET_OWNER_REFUSED',
      `${path} cannot be given to its user or group: only root may give files away, others to groups that they are in`,
      { cause },
    )
  }
}
