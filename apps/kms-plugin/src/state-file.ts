import { constants } from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  encodeState,
  KMS_STATE_FILE,
  type KmsState,
  KmsStateError,
  MAX_STATE_BYTES,
  parseState,
} from '@sealwright/kms-v2'
import { isWritableByOthers } from '@sealwright/program'
import { hasErrorCode } from '@sealwright/system-error'
import { KmsPluginError } from './errors.ts'

/** What was found at the start. */
export type FoundState =
  | { readonly kind: 'none' }
  | { readonly kind: 'read'; readonly state: KmsState }
  /** Damaged: it was moved aside, or should have been. */
  | { readonly kind: 'damaged'; readonly movedTo: string | null; readonly cause: unknown }
  /** Of a newer program, out of reach, or open to others: it is left alone. */
  | { readonly kind: 'unusable'; readonly cause: unknown }

/** The file that a node remembers its key in. Losing it loses nothing that cannot be seen again, so no failure here ends anything. */
export interface StateFile {
  readonly read: () => Promise<FoundState>
  /**
   * Replaces it: written anew, flushed, renamed into its place.
   *
   * @throws {@link KmsPluginError} `KMS_STATE_UNSAFE`; what the file system throws; and always, if `read` has found it unusable, why it is.
   */
  readonly write: (state: KmsState) => Promise<void>
}

/** @param directory - absolute; made if it is not there. */
export function stateFile(directory: string, now: () => number): StateFile {
  const path = join(directory, KMS_STATE_FILE)
  /** Why it is left alone: a newer program's state may say what we do not understand. It is not written over. */
  let unusable: { readonly cause: unknown } | null = null

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
        await assertSafeFolder(directory)
        return { kind: 'read', state: parseState(await readSafely(path)) }
      } catch (cause) {
        if (hasErrorCode(cause, 'ENOENT', 'ENOTDIR')) return { kind: 'none' }
        if (cause instanceof KmsStateError && cause.code === 'KMS_STATE_MALFORMED') {
          return { kind: 'damaged', movedTo: await moveAside(), cause }
        }
        unusable = { cause }
        return { kind: 'unusable', cause }
      }
    },
    write: async state => {
      if (unusable !== null) throw unusable.cause
      await mkdir(directory, { recursive: true, mode: 0o700 })
      await assertSafeFolder(directory)
      const written = `${path}.new`
      // Left by one that was cut off, or a link, or a pipe that would never be read: whatever it is, it is not what is written to.
      await rm(written, { force: true })
      {
        await using file = await open(written, NEW_FILE, 0o600)
        await file.writeFile(encodeState(state))
        await file.sync()
      }
      await rename(written, path)
      await using folder = await open(directory, O_RDONLY)
      await folder.sync()
    },
  }
}

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants
const NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
/** Without O_NONBLOCK a pipe in its place would hang the start. */
const FILE_ITSELF = O_RDONLY | O_NOFOLLOW | O_NONBLOCK

async function assertSafeFolder(directory: string): Promise<void> {
  if (isWritableByOthers(await stat(directory))) throw unsafe(`others may write into ${directory}`)
}

async function readSafely(path: string): Promise<string> {
  await using file = await open(path, FILE_ITSELF).catch((cause: unknown) => {
    throw hasErrorCode(cause, 'ELOOP') ? unsafe(`${path} is a link`) : cause
  })
  const status = await file.stat()
  if (!status.isFile()) throw unsafe(`${path} is no file`)
  if (isWritableByOthers(status)) throw unsafe(`others may write ${path}`)
  if (status.size > MAX_STATE_BYTES) {
    throw new KmsStateError(
      'KMS_STATE_MALFORMED',
      `the state has ${status.size} bytes, at most ${MAX_STATE_BYTES} allowed`,
    )
  }
  const bytes = Buffer.alloc(status.size)
  let byteLength = 0
  for (let bytesRead = -1; bytesRead !== 0 && byteLength < bytes.length; byteLength += bytesRead) {
    ;({ bytesRead } = await file.read(bytes, byteLength))
  }
  return bytes.toString('utf8', 0, byteLength)
}

function unsafe(what: string): KmsPluginError {
  return new KmsPluginError(
    'KMS_STATE_UNSAFE',
    `${what}: see to it that it is a plain file in a folder, that both belong to root or to this user, chmod go-w them, and start again`,
  )
}
