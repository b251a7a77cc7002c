import { chown, constants, type FileHandle, open } from 'node:fs/promises'
import { connect } from 'node:net'
import { hasErrorCode } from '@sealwright/system-error'

/** What comes of a connection that is tried. `forbidden`: this user may not connect, so that nothing is known. */
export type Knock = 'answered' | 'refused' | 'forbidden'

/** open(2) on Linux: takes hold of a file without opening it, a socket too. */
const O_PATH = 0o10000000
/** To chown(2): as it is. */
const UNCHANGED = -1

/** Only "connection refused" proves that nobody is there; every doubt but a missing right counts as an answer. */
export async function knockAt(path: string): Promise<Knock> {
  return await new Promise(resolve => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve('answered')
    })
    probe.once('error', error => {
      if (hasErrorCode(error, 'ECONNREFUSED', 'ENOENT')) resolve('refused')
      else resolve(hasErrorCode(error, 'EACCES', 'EPERM') ? 'forbidden' : 'answered')
    })
  })
}

/**
 * Knocks at a socket that was given to `userId`, and that only this user may connect to: it is ours for the moment of the knock. If
 * anybody answers, it is that user's again, whose clients go on; else it stays ours, to be removed.
 *
 * The socket is held while that is done: whoever may rename it cannot have another file given away in its place.
 */
export async function knockAtGivenSocket(path: string, userId: number): Promise<Knock> {
  const ours = process.geteuid?.()
  if (ours === undefined) return 'forbidden'
  await using socket = await holdSocketOf(path, userId)
  if (socket === null) return 'forbidden'
  const held = `/proc/self/fd/${socket.fd}`
  try {
    await chown(held, ours, UNCHANGED)
  } catch (error) {
    if (hasErrorCode(error, 'EPERM')) return 'forbidden'
    throw error
  }
  const knock = await knockAt(held)
  if (knock !== 'refused') await chown(held, userId, UNCHANGED)
  return knock
}

/** Takes hold of a socket if it belongs to this user. */
async function holdSocketOf(path: string, userId: number): Promise<FileHandle | null> {
  const file = await open(path, O_PATH | constants.O_NOFOLLOW)
  try {
    const found = await file.stat()
    if (found.isSocket() && found.uid === userId) return file
  } catch (error) {
    await file.close()
    throw error
  }
  await file.close()
  return null
}
