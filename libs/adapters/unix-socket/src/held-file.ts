import { type BigIntStats } from 'node:fs'
import { constants, type FileHandle, open } from 'node:fs/promises'
import { hasErrorCode } from '@sealwright/system-error'

/** open(2) on Linux: takes hold of a file without opening it, a socket too. */
const O_PATH = 0o10000000

/** To chown(2): as it is. */
export const UNCHANGED = -1

/** A file that is held: whoever may rename it cannot have another one changed, or knocked at, in its place. */
export interface HeldFile extends AsyncDisposable {
  /** Leads to this very file, whatever becomes of its name. Short enough for connect(2). */
  readonly path: string
  /** As it was when it was taken hold of. */
  readonly status: BigIntStats
}

/** Takes hold of a file of any kind, of a link itself. @returns `null` if there is none. Throws the bare system error. */
export async function holdFile(path: string): Promise<HeldFile | null> {
  let file: FileHandle
  try {
    file = await open(path, O_PATH | constants.O_NOFOLLOW)
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return null
    throw cause
  }
  try {
    const status = await file.stat({ bigint: true })
    return { path: `/proc/self/fd/${file.fd}`, status, [Symbol.asyncDispose]: () => file.close() }
  } catch (cause) {
    await file.close()
    throw cause
  }
}

/** Whether both are the same file, under whatever names. */
export function isSameFile(one: BigIntStats, other: BigIntStats): boolean {
  return one.ino === other.ino && one.dev === other.dev
}
