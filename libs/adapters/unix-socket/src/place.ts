import { createHash, randomBytes } from 'node:crypto'
import { type BigIntStats, constants } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'

/** Of the hash of a socket's name, in hex digits: it tells the sockets of one folder apart, no more. */
const HASH_DIGITS = 8
/** Random part of a name, in bytes; twice as many hex digits. No name is used twice. */
const RANDOM_BYTES = 8

/** A place for a socket, in a folder that is held: its names are reached through the open folder, and are short enough for bind(2). */
export interface SocketPlace extends AsyncDisposable {
  /** What the operator knows it by, absolute. */
  readonly path: string
  /** The socket's own path for system calls. */
  readonly target: string
  /** The folder, as it was when it was opened. */
  readonly folderStatus: BigIntStats
  /** A fresh name beside the socket, for a thing of ours that belongs to it. */
  readonly freshName: (kind: NameKind) => string
  /** The path for system calls on such a name. */
  readonly at: (name: string) => string
  /** All such names that are there, of whatever program. */
  readonly names: () => Promise<readonly string[]>
}

/** `new`: it does not listen yet, or is about to become the socket itself. `claim`: see claim.ts. */
export type NameKind = 'new' | 'claim'

export function isClaim(name: string): boolean {
  return name.endsWith('.claim')
}

/** Opens the folder of a socket. Throws the bare system error. */
export async function openPlace(givenPath: string): Promise<SocketPlace> {
  const path = resolve(givenPath)
  const folder = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  const folderStatus = await statusOf(folder)
  const base = `/proc/self/fd/${folder.fd}`
  const hash = createHash('sha256').update(basename(path)).digest('hex').slice(0, HASH_DIGITS)
  const isOurs = new RegExp(`^\\.socket-${hash}-[0-9a-f]{${RANDOM_BYTES * 2}}\\.(?:new|claim)$`)
  return {
    path,
    target: `${base}/${basename(path)}`,
    folderStatus,
    freshName: kind => `.socket-${hash}-${randomBytes(RANDOM_BYTES).toString('hex')}.${kind}`,
    at: name => `${base}/${name}`,
    names: async () => (await readdir(`${base}/.`)).filter(name => isOurs.test(name)),
    [Symbol.asyncDispose]: () => folder.close(),
  }
}

async function statusOf(folder: FileHandle): Promise<BigIntStats> {
  try {
    return await folder.stat({ bigint: true })
  } catch (cause) {
    await folder.close()
    throw cause
  }
}
