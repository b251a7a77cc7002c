import { createReadStream } from 'node:fs'
import { NotFlushedError, openNewFile as takeNewName } from '@sealwright/durable-file'
import { errorCodeOf } from '@sealwright/system-error'
import { type CommandContext } from './context.ts'
import { SealctlError } from './errors.ts'

const FILE_MODE = 0o600

/** Stands for standard input. */
export const STANDARD_INPUT = '-'

/**
 * Reads a whole file, or what is piped in.
 *
 * @throws {@link SealctlError} `SEALCTL_INPUT_UNREADABLE`, also for more than `maxBytes`.
 */
export async function readWhole(context: CommandContext, path: string, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let byteLength = 0
  for await (const chunk of readPieces(context, path)) {
    chunks.push(chunk)
    byteLength += chunk.byteLength
    if (byteLength > maxBytes) {
      throw new SealctlError(
        'SEALCTL_INPUT_UNREADABLE',
        `${path} has more than ${maxBytes} bytes: is it the right file?`,
      )
    }
  }
  return Buffer.concat(chunks)
}

/**
 * Reads a file, or what is piped in, piece by piece.
 *
 * @throws {@link SealctlError} `SEALCTL_INPUT_UNREADABLE`.
 */
export async function* readPieces({ stdin }: Pick<CommandContext, 'stdin'>, path: string): AsyncGenerator<Uint8Array> {
  const input = path === STANDARD_INPUT ? stdin : createReadStream(path)
  try {
    yield* input as AsyncIterable<Buffer>
  } catch (cause) {
    throw new SealctlError('SEALCTL_INPUT_UNREADABLE', `cannot read ${path} (${errorCodeOf(cause) ?? 'no code'})`, {
      cause,
    })
  }
}

/** A file of ours that is there already and has nothing in it. Disposing of it takes it away unless it was filled. */
export interface NewFile extends AsyncDisposable {
  /** Writes all of it or nothing, and has the disk keep it: the message says if it is written, and the disk may lose it. @throws {@link SealctlError} `SEALCTL_OUTPUT_UNUSABLE`. */
  fill(bytes: Uint8Array): Promise<void>
}

/**
 * Makes a new file, mode 0600: before something is done whose outcome must not be lost.
 *
 * @throws {@link SealctlError} `SEALCTL_OUTPUT_UNUSABLE`, also if it is there already.
 */
export async function openNewFile(path: string): Promise<NewFile> {
  const file = await unusableUnless(path, () => takeNewName(path, { mode: FILE_MODE }))
  return {
    fill: bytes => unusableUnless(path, () => file.fill(bytes)),
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  }
}

/**
 * Writes a new file, mode 0600, and has the disk keep it.
 *
 * @throws {@link SealctlError} `SEALCTL_OUTPUT_UNUSABLE`, also if it is there already.
 */
export async function writeNewFile(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await openNewFile(path)
  await file.fill(bytes)
}

async function unusableUnless<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    const what =
      cause instanceof NotFlushedError ? cause.message : `cannot write ${path} (${errorCodeOf(cause) ?? 'no code'})`
    throw new SealctlError('SEALCTL_OUTPUT_UNUSABLE', what, { cause })
  }
}
