import { constants } from 'node:fs'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  encodeState,
  KMS_STATE_FILE,
  type KmsState,
  KmsStateError,
  MAX_STATE_BYTES,
  parseState,
} from '@sealwright/kms-v2'
import { hasErrorCode } from '@sealwright/system-error'

/** What was found at the start. */
export type FoundState =
  | { readonly kind: 'none' }
  | { readonly kind: 'read'; readonly state: KmsState }
  /** Damaged: it was moved aside, or should have been. */
  | { readonly kind: 'damaged'; readonly movedTo: string | null; readonly cause: unknown }
  /** Of a newer program, or out of reach: it is left alone. */
  | { readonly kind: 'unusable'; readonly cause: unknown }

/** The file that a node remembers its key in. Losing it loses nothing that cannot be seen again, so no failure here ends anything. */
export interface StateFile {
  readonly read: () => Promise<FoundState>
  /** Replaces it: written anew, flushed, renamed into its place. Throws what the file system throws. */
  readonly write: (state: KmsState) => Promise<void>
}

/** @param directory - absolute; made if it is not there. */
export function stateFile(directory: string, now: () => number): StateFile {
  const path = join(directory, KMS_STATE_FILE)
  /** A newer program's state may say what we do not understand: it is not written over. */
  let isOurs = true

  const moveAside = async (): Promise<string | null> => {
    const movedTo = `${path}.damaged-${now()}`
    try {
      await rename(path, movedTo)
      return movedTo
    } catch {
      return null // a read-only folder: the damaged file is written over once that is possible
    }
  }

  return {
    read: async () => {
      try {
        return { kind: 'read', state: parseState(await readAtMost(path, MAX_STATE_BYTES)) }
      } catch (cause) {
        if (hasErrorCode(cause, 'ENOENT', 'ENOTDIR')) return { kind: 'none' }
        if (cause instanceof KmsStateError && cause.code === 'KMS_STATE_MALFORMED') {
          return { kind: 'damaged', movedTo: await moveAside(), cause }
        }
        isOurs = false
        return { kind: 'unusable', cause }
      }
    },
    write: async state => {
      if (!isOurs) return
      await mkdir(directory, { recursive: true, mode: 0o700 })
      const written = `${path}.new`
      // Not through a link that somebody may have laid there.
      const file = await open(
        written,
        constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
        0o600,
      )
      try {
        await file.writeFile(encodeState(state))
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(written, path)
      const folder = await open(directory, constants.O_RDONLY)
      try {
        await folder.sync()
      } finally {
        await folder.close()
      }
    },
  }
}

async function readAtMost(path: string, maxBytes: number): Promise<string> {
  // Without O_NONBLOCK a pipe in its place would hang the start.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const { size } = await file.stat()
    if (size > maxBytes)
      throw new KmsStateError('KMS_STATE_MALFORMED', `the state has ${size} bytes, at most ${maxBytes} allowed`)
    return await readFile(file, 'utf8')
  } finally {
    await file.close()
  }
}
