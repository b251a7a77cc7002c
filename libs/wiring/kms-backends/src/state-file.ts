import { constants, type Stats } from 'node:fs'
import { mkdir, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile } from '@sealwright/durable-file'
import {
  encodeState,
  KMS_STATE_FILE,
  type KmsState,
  KmsStateError,
  MAX_STATE_BYTES,
  parseState,
} from '@sealwright/kms-v2'
import { belongsToOthers } from '@sealwright/program'
import { hasErrorCode } from '@sealwright/system-error'

/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type KmsStateFileErrorCode = 'KMS_STATE_UNSAFE' // others may write the state or its folder, or it is no plain file

/** The file in which a node remembers its key is not to be trusted. The message says what to do. */
export class KmsStateFileError extends Error {
  override readonly name = 'KmsStateFileError'
  readonly code: KmsStateFileErrorCode

  constructor(code: KmsStateFileErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Whose state is believed. */
export interface StateTrust {
  /**
   * Beside root and this user, whom the state's folder belongs to: for a reader that need not run as the plugin does. The configuration
   * names the folder, and the plugin itself believes nobody else. Default: no.
   */
  readonly ofFolderOwner?: boolean
}

const FOLDER_MODE = 0o700
const FILE_MODE = 0o600
const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, S_IWGRP, S_IWOTH } = constants
/** Without O_NONBLOCK a pipe in its place would hang the reader. */
const FILE_ITSELF = O_RDONLY | O_NOFOLLOW | O_NONBLOCK

/** Where the plugin of a node remembers its key. */
export function kmsStatePath(directory: string): string {
  return join(directory, KMS_STATE_FILE)
}

/**
 * Reads what the plugin of a node remembers of its key. Changes nothing.
 *
 * @param directory - absolute.
 * @returns `null` if there is none.
 * @throws {@link KmsStateFileError} `KMS_STATE_UNSAFE`; {KmsStateError}, also if it is longer than a state can be, which is then not read; what
 *   the file system says.
 */
export async function readKmsState(directory: string, trust: StateTrust = {}): Promise<KmsState | null> {
  try {
    const folder = await stat(directory)
    const trusted = trust.ofFolderOwner === true ? folder.uid : undefined
    if (mayBeWrittenByOthers(folder, trusted)) throw unsafe(`others may write into ${directory}`)
    return parseState(await readSafely(kmsStatePath(directory), trusted))
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT', 'ENOTDIR')) return null
    throw cause
  }
}

/**
 * Replaces it: the old one or the new one is there at any moment, whole.
 *
 * @param directory - absolute; made, for this user alone, if it is not there.
 * @throws {@link KmsStateFileError} `KMS_STATE_UNSAFE` for the folder; what the file system says.
 */
export async function writeKmsState(directory: string, state: KmsState): Promise<void> {
  const made = await mkdir(directory, { recursive: true, mode: FOLDER_MODE })
  if (made !== undefined) await openToItsUser(directory)
  if (mayBeWrittenByOthers(await stat(directory))) throw unsafe(`others may write into ${directory}`)
  await replaceFile(kmsStatePath(directory), encodeState(state), { mode: FILE_MODE })
}

/** Whatever the umask was when it was made, which is another one for a moment while a socket is made. */
async function openToItsUser(directory: string): Promise<void> {
  await using folder = await open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  if (belongsToOthers(await folder.stat())) throw unsafe(`others may write into ${directory}`)
  await folder.chmod(FOLDER_MODE)
}

function mayBeWrittenByOthers(status: Stats, trustedUserId?: number): boolean {
  return (status.mode & (S_IWGRP | S_IWOTH)) !== 0 || (belongsToOthers(status) && status.uid !== trustedUserId)
}

async function readSafely(path: string, trustedUserId: number | undefined): Promise<string> {
  await using file = await open(path, FILE_ITSELF).catch((cause: unknown) => {
    // ENXIO: a socket.
    if (hasErrorCode(cause, 'ELOOP', 'ENXIO')) throw unsafe(`${path} is no plain file`, cause)
    throw cause
  })
  const status = await file.stat()
  if (!status.isFile()) throw unsafe(`${path} is no plain file`)
  if (mayBeWrittenByOthers(status, trustedUserId)) throw unsafe(`others may write ${path}`)
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

function unsafe(what: string, cause?: unknown): KmsStateFileError {
  return new KmsStateFileError(
    'KMS_STATE_UNSAFE',
    `${what}: see to it that it is a plain file in a folder, that both belong to root or to the plugin's user, chmod go-w them, and start the plugin again`,
    { cause },
  )
}
