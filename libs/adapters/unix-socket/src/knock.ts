import { chown } from 'node:fs/promises'
import { connect } from 'node:net'
import { hasErrorCode } from '@sealwright/system-error'
import { type HeldFile, UNCHANGED } from './held-file.ts'

/** What comes of a connection that is tried. `forbidden`: this user may not connect, so that nothing is known. */
export type Knock = 'answered' | 'refused' | 'forbidden'

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
 */
export async function knockAtGivenSocket(socket: HeldFile, userId: number): Promise<Knock> {
  const ours = process.geteuid?.()
  if (ours === undefined || Number(socket.status.uid) !== userId) return 'forbidden'
  try {
    await chown(socket.path, ours, UNCHANGED)
  } catch (error) {
    if (hasErrorCode(error, 'EPERM')) return 'forbidden'
    throw error
  }
  const knock = await knockAt(socket.path)
  if (knock !== 'refused') await chown(socket.path, userId, UNCHANGED)
  return knock
}
