import { constants, writeSync } from 'node:fs'
import { type FileHandle, open, rename, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { allocateKeyBytes, Secret } from '@sealwright/secret'
import { ioFailure, StaticDeliveryError } from './errors.ts'
import { assertFileName, foreignFile, isOurs, prepareFolder, statIfAny } from './folder.ts'
import { assertStaticKey, STATIC_KEY_BYTES, type UnwrapKey } from './key.ts'

export interface UnsafePlainKeyFileOptions {
  /** On a tmpfs or ramfs; anything else is refused. Made if it is missing; the folder above must exist. */
  readonly directory: string
  readonly fileName: string
  /** Key ids of up to 64 letters, digits, `.`, `_`, `:` and `-`: a shell may read the file. */
  readonly current: string
  /** During a rotation. */
  readonly previous?: string
  /** OpenBao's group, if it runs as another user. We must be a member of it, or root. */
  readonly groupId?: number
  readonly unwrapKey: UnwrapKey
  readonly signal: AbortSignal
}

/** `TMPFS_MAGIC` and `RAMFS_MAGIC` of statfs(2). */
const MEMORY_FILE_SYSTEMS = new Set([0x01021994, 0x858458f6])
const KEY_ID = /^[A-Za-z0-9._:-]{1,64}$/
const HEX_DIGITS = new TextEncoder().encode('0123456789abcdef')

/**
 * UNSAFE: writes the seal key in plain into a file of environment variables, for an OpenBao that can be started no other way. Whoever reads
 * the file, or the environment of OpenBao, has the key. Prefer `serveStaticDelivery`, or the seal plugin.
 *
 * The file lies in memory only (which may be swapped), and is overwritten and removed when the result is disposed of: do that as soon as
 * OpenBao is unsealed. One that a killed agent left is removed first.
 *
 * @throws {@link StaticDeliveryError} `STATIC_DELIVERY_NOT_IN_MEMORY`, `STATIC_DELIVERY_NAME_INVALID`,
 *   `STATIC_DELIVERY_FOLDER_UNUSABLE`, `STATIC_DELIVERY_FOREIGN_FILE`, `STATIC_DELIVERY_KEY_LENGTH`,
 *   `STATIC_DELIVERY_KEY_UNKNOWN`, `STATIC_DELIVERY_IO_FAILED`; what `unwrapKey` throws.
 */
export async function placeUnsafePlainKeyFile(options: UnsafePlainKeyFileOptions): Promise<AsyncDisposable> {
  const { directory, fileName, current, previous, groupId, unwrapKey, signal } = options
  assertFileName(fileName)
  assertKeyIds(current, previous)
  await prepareFolder(directory, { groupId })
  await assertInMemory(directory)
  const path = join(directory, fileName)
  const tempPath = join(directory, `.${fileName}.next`)
  await removePlainKeyFile(path)
  await removePlainKeyFile(tempPath)
  using text = await plainKeyText(current, previous, unwrapKey, signal)
  try {
    await writeNew(tempPath, text, groupId)
    await rename(tempPath, path)
  } catch (cause) {
    await removePlainKeyFile(tempPath)
    throw ioFailure(`write the key file ${path}`, cause)
  }
  return { [Symbol.asyncDispose]: () => removePlainKeyFile(path) }
}

/**
 * Overwrites and removes a key file, if there is one.
 *
 * @throws {@link StaticDeliveryError} `STATIC_DELIVERY_FOREIGN_FILE`, `STATIC_DELIVERY_IO_FAILED`.
 */
async function removePlainKeyFile(path: string): Promise<void> {
  try {
    const stats = await statIfAny(path)
    if (stats === undefined) return
    if (!stats.isFile() || !isOurs(stats)) throw foreignFile(path, 'a key file')
    await using file: FileHandle = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    await file.write(new Uint8Array(stats.size), 0, stats.size, 0)
    await unlink(path)
  } catch (cause) {
    throw ioFailure(`remove the key file ${path}`, cause)
  }
}

async function assertInMemory(directory: string): Promise<void> {
  const { type } = await statfs(directory).catch((cause: unknown) => {
    throw ioFailure(`look at the file system of ${directory}`, cause)
  })
  if (MEMORY_FILE_SYSTEMS.has(type)) return
  const message = `${directory} is not on a tmpfs or ramfs: a plain key must not reach a disk. Mount a volume in memory there`
  throw new StaticDeliveryError('STATIC_DELIVERY_NOT_IN_MEMORY', message)
}

function assertKeyIds(current: string, previous: string | undefined): void {
  const isUsable = KEY_ID.test(current) && (previous === undefined || KEY_ID.test(previous))
  if (isUsable && current !== previous) return
  const message = 'the key ids of a key file are two different ones, of letters, digits, ".", "_", ":" and "-"'
  throw new StaticDeliveryError('STATIC_DELIVERY_NAME_INVALID', message)
}

async function writeNew(path: string, text: Secret, groupId: number | undefined): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  await using file = await open(path, flags, 0o600)
  if (groupId !== undefined) await file.chown(-1, groupId)
  await file.chmod(groupId === undefined ? 0o600 : 0o640)
  const written = text.reveal(bytes => writeSync(file.fd, bytes))
  if (written !== text.byteLength) throw new StaticDeliveryError('STATIC_DELIVERY_IO_FAILED', `no space for ${path}`)
}

/** The lines of the file. Keys are written as hex, byte by byte: a string could not be wiped. */
async function plainKeyText(
  current: string,
  previous: string | undefined,
  unwrapKey: UnwrapKey,
  signal: AbortSignal,
): Promise<Secret> {
  const lines: Secret[] = []
  try {
    lines.push(await keyLines('CURRENT', current, unwrapKey, signal))
    if (previous !== undefined) lines.push(await keyLines('PREVIOUS', previous, unwrapKey, signal))
    const text = allocateKeyBytes(lines.reduce((sum, { byteLength }) => sum + byteLength, 0))
    let offset = 0
    for (const line of lines) {
      line.reveal(bytes => {
        text.set(bytes, offset)
      })
      offset += line.byteLength
    }
    return new Secret(text)
  } finally {
    for (const line of lines) line.wipe()
  }
}

async function keyLines(
  which: 'CURRENT' | 'PREVIOUS',
  keyId: string,
  unwrapKey: UnwrapKey,
  signal: AbortSignal,
): Promise<Secret> {
  using key = await unwrapKey(keyId, signal)
  if (key === undefined) {
    throw new StaticDeliveryError('STATIC_DELIVERY_KEY_UNKNOWN', `there is no key of the id ${keyId}: name another one`)
  }
  assertStaticKey(key)
  const name = `BAO_STATIC_SEAL_${which}_KEY`
  const before = new TextEncoder().encode(`${name}_ID=${keyId}\n${name}=`)
  const text = allocateKeyBytes(before.byteLength + STATIC_KEY_BYTES * 2 + 1)
  text.set(before)
  key.reveal(bytes => {
    for (const [index, byte] of bytes.entries()) {
      text[before.byteLength + index * 2] = HEX_DIGITS[byte >> 4] ?? 0
      text[before.byteLength + index * 2 + 1] = HEX_DIGITS[byte & 15] ?? 0
    }
  })
  text[text.byteLength - 1] = 10
  return new Secret(text)
}
