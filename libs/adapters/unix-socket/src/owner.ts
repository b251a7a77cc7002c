import { chmod, chown } from 'node:fs/promises'
import { UnixSocketError } from './errors.ts'
import { type HeldFile, UNCHANGED } from './held-file.ts'

/** Whom a socket is given to. What is left out stays as it is. */
export interface SocketOwner {
  readonly userId?: number
  readonly groupId?: number
}

/** What {@link giveSocket} needs to know. */
export interface Gift {
  readonly owner: SocketOwner
  readonly mode: number
  /** What the operator knows the socket by. */
  readonly path: string
}

/**
 * Gives a socket to its group, then the mode that it is to have, then to its user. Until then it has to be closed to all but its maker.
 * Root needs no other capability than CAP_CHOWN for it.
 *
 * @throws {@link UnixSocketError} `SOCKET_OWNER_REFUSED`, also for what is no socket.
 */
export async function giveSocket(socket: HeldFile, { owner: { userId, groupId }, mode, path }: Gift): Promise<void> {
  try {
    if (!socket.status.isSocket()) throw new Error('another file is in its place')
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
