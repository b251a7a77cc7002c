import { type Stats, constants } from 'node:fs'
import { chmod, chown, lstat, mkdir, open, readdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { hasErrorCode } from '@sealwright/system-error'
import { SealPluginError } from './errors.ts'
import { makeFifos } from './mkfifo.ts'

/** Longest path of a Unix socket in bytes: `sun_path` of Linux without its end. */
const SOCKET_PATH_MAX_BYTES = 107
/** `/s/` ‖ UUID ‖ `.sock` */
const SOCKET_NAME_BYTES = 3 + 36 + 5
/** A live program takes a connection at once; only a stopped one lets us wait. */
const PROBE_TIMEOUT_MS = 1000

/** The agent's folder and the modes of what lies in it. */
export interface AgentDirectory {
  readonly path: string
  readonly requestPipePath: string
  readonly replyPipePath: (name: string) => string
  readonly socketPath: (name: string) => string
  readonly replyPipeMode: number
  readonly socketMode: number
}

/**
 * Makes the folder ready, and clears what an agent before us left.
 *
 * With a group, its members can pass through the folders but not list them, write requests, and reach a pipe or a
 * socket whose random name they were told. Without one, everything is for our own user alone.
 *
 * @param groupId - OpenBao's group; we must be a member of it, or root.
 * @throws {@link SealPluginError} `SEAL_PLUGIN_PATH_INVALID`, `SEAL_PLUGIN_DIRECTORY_UNSAFE`,
 *   `SEAL_PLUGIN_DIRECTORY_IN_USE`, `SEAL_PLUGIN_FOREIGN_FILE`, `SEAL_PLUGIN_MKFIFO_FAILED`, `SEAL_PLUGIN_IO_FAILED`
 */
export async function prepareAgentDirectory(parameters: {
  readonly path: string
  readonly groupId: number | undefined
  readonly mkfifoPath: string
}): Promise<AgentDirectory> {
  const { path, groupId, mkfifoPath } = parameters
  assertUsablePath(path)
  const shared = groupId !== undefined
  const directoryMode = shared ? 0o2710 : 0o700
  const requestPipePath = join(path, 'in')
  const replyPipes = join(path, 'out')
  const sockets = join(path, 's')
  try {
    await makeDirectory(path, directoryMode, groupId)
    // Before anything else is touched: a live agent's files are not ours to clear.
    await assertNobodyReads(requestPipePath)
    await makeDirectory(replyPipes, directoryMode, groupId)
    await makeDirectory(sockets, directoryMode, groupId)
    await clearSockets(sockets)
    await clearReplyPipes(replyPipes)
    if ((await statIfAny(requestPipePath)) === undefined) await makeFifos(mkfifoPath, [requestPipePath])
    if (shared) await chown(requestPipePath, -1, groupId)
    await chmod(requestPipePath, shared ? 0o620 : 0o600)
  } catch (cause) {
    if (cause instanceof SealPluginError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `cannot prepare ${path}: ${reason}; the folder above it must exist, at every boot if it lies in /run`
    throw new SealPluginError('SEAL_PLUGIN_IO_FAILED', message, { cause })
  }
  return {
    path,
    requestPipePath,
    replyPipePath: name => join(replyPipes, name),
    socketPath: name => join(sockets, `${name}.sock`),
    replyPipeMode: shared ? 0o440 : 0o600,
    socketMode: shared ? 0o660 : 0o600,
  }
}

function assertUsablePath(path: string): void {
  const invalid = (why: string) => new SealPluginError('SEAL_PLUGIN_PATH_INVALID', `cannot use ${path}: ${why}`)
  if (!path.startsWith('/')) throw invalid('it is not absolute')
  if (/[|\s]/.test(path)) throw invalid('it holds white space or a "|", which a handshake line cannot')
  const maxBytes = SOCKET_PATH_MAX_BYTES - SOCKET_NAME_BYTES
  if (Buffer.byteLength(path) > maxBytes) throw invalid(`it is longer than ${maxBytes} bytes`)
}

async function makeDirectory(path: string, mode: number, groupId: number | undefined): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (!hasErrorCode(error, 'EEXIST')) throw error
  }
  const stats = await lstat(path)
  if (!stats.isDirectory()) throw unsafe(path, 'it is not a folder')
  if (!isOurs(stats)) throw unsafe(path, 'it belongs to another user')
  if (groupId !== undefined) await chown(path, -1, groupId)
  await chmod(path, mode)
}

/** Opening a FIFO for writing without waiting fails with ENXIO exactly when nobody reads it. */
async function assertNobodyReads(requestPipePath: string): Promise<void> {
  const stats = await statIfAny(requestPipePath)
  if (stats === undefined) return
  if (!stats.isFIFO() || !isOurs(stats)) throw foreign(requestPipePath, 'the request pipe')
  try {
    const pipe = await open(requestPipePath, constants.O_WRONLY | constants.O_NONBLOCK)
    await pipe.close()
  } catch (error) {
    if (hasErrorCode(error, 'ENXIO')) return
    throw error
  }
  throw new SealPluginError('SEAL_PLUGIN_DIRECTORY_IN_USE', `another live agent reads ${requestPipePath}`)
}

async function clearSockets(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const stats = await statIfAny(path)
    if (stats === undefined) continue
    if (!stats.isSocket() || !isOurs(stats)) throw foreign(path, 'sockets')
    if (await answersConnection(path)) {
      throw new SealPluginError('SEAL_PLUGIN_DIRECTORY_IN_USE', `a live program listens on ${path}`)
    }
    await unlink(path)
  }
}

/** Whether somebody listens. Only a refused connection means no. */
function answersConnection(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path })
    const answer = (listens: boolean) => {
      socket.destroy()
      resolve(listens)
    }
    socket.setTimeout(PROBE_TIMEOUT_MS, () => {
      answer(true)
    })
    socket.once('connect', () => {
      answer(true)
    })
    socket.once('error', error => {
      answer(!hasErrorCode(error, 'ECONNREFUSED'))
    })
  })
}

/** A connector may still wait in open() for somebody to write: our short visit sends it away. */
async function clearReplyPipes(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const stats = await statIfAny(path)
    if (stats === undefined) continue
    if (!stats.isFIFO() || !isOurs(stats)) throw foreign(path, 'reply pipes')
    await chmod(path, 0o600)
    const pipe = await open(path, constants.O_RDWR | constants.O_NONBLOCK)
    await pipe.close()
    await unlink(path)
  }
}

async function statIfAny(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function isOurs(stats: Stats): boolean {
  return stats.uid === process.geteuid?.()
}

function unsafe(path: string, why: string): SealPluginError {
  return new SealPluginError('SEAL_PLUGIN_DIRECTORY_UNSAFE', `cannot use ${path}: ${why}`)
}

function foreign(path: string, instead: string): SealPluginError {
  return new SealPluginError(
    'SEAL_PLUGIN_FOREIGN_FILE',
    `${path} is not ours, in the place of ${instead}: move it away`,
  )
}
