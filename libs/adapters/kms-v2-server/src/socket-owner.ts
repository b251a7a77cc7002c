import { chmod, chown, constants, open } from 'node:fs/promises'
import { KmsServerError } from './errors.ts'

/** Whom a socket is given to. What is left out stays as it is. */
export interface SocketOwner {
  readonly userId?: number
  readonly groupId?: number
}

/** open(2) on Linux: takes hold of a file without opening it, a socket too. */
const O_PATH = 0o10000000
/** To chown(2): as it is. */
const UNCHANGED = -1

/**
 * Gives a socket to its group, then the mode that it is to have, then to its user. Until then it has to be closed to all but its maker.
 * Root needs no other capability than CAP_CHOWN for it.
 *
 * The socket is held while that is done: whoever may rename it cannot have another file changed in its place.
 *
 * @throws {@link KmsServerError} `KMS_SERVER_OWNER_REFUSED`
 */
export async function giveSocket(path: string, { userId, groupId }: SocketOwner, mode: number): Promise<void> {
  try {
    await using socket = await open(path, O_PATH | constants.O_NOFOLLOW)
    if (!(await socket.stat()).isSocket()) throw new Error('it is no socket any more')
    const held = `/proc/self/fd/${socket.fd}`
    // The user comes last: root without CAP_FOWNER changes the mode of no file that is not its own any more.
    await chown(held, UNCHANGED, groupId ?? UNCHANGED)
    await chmod(held, mode)
    await chown(held, userId ?? UNCHANGED, UNCHANGED)
  } catch (cause) {
    throw new KmsServerError(
      'KMS_SERVER_OWNER_REFUSED',
      `${path} cannot be given to its user or group: only root may give files away, others to groups that they are in`,
      { cause },
    )
  }
}
