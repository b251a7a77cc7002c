import { allocateKeyBytes, type Secret } from '@sealwright/secret'
import { readSecretFile } from '@sealwright/program'
import { MAX_SHARE_BYTES } from '@sealwright/control-api'
import { type CommandContext, type InputStream } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { splitShareTexts } from './split-texts.ts'

const MAX_SHARES = 255
/** A card has remarks beside its share. */
const MAX_CARD_BYTES = 4 * MAX_SHARE_BYTES
const MAX_PIPE_BYTES = MAX_SHARES * MAX_CARD_BYTES

/**
 * The texts of shares from files.
 *
 * @throws {ProgramError} `SECRET_FILE_UNREADABLE`, `SECRET_FILE_UNSAFE`, `SECRET_FILE_SIZE`; {@link SealctlError} `SEALCTL_NO_SHARE`.
 */
export async function sharesFromFiles(paths: readonly string[]): Promise<readonly Secret[]> {
  const found: Secret[] = []
  try {
    for (const path of paths) {
      using content = await readSecretFile(path)
      const texts = splitShareTexts(content.reveal(bytes => Uint8Array.from(bytes)))
      if (texts.length === 0) throw new SealctlError('SEALCTL_NO_SHARE', `there is no share in ${path}`)
      found.push(...texts)
    }
    return found
  } catch (error) {
    for (const text of found) text.wipe()
    throw error
  }
}

/**
 * The texts of shares from a pipe.
 *
 * @throws {@link SealctlError} `SEALCTL_NO_SHARE`, `SEALCTL_INPUT_UNREADABLE`.
 */
export async function sharesFromPipe({ stdin }: Pick<CommandContext, 'stdin'>): Promise<readonly Secret[]> {
  const texts = splitShareTexts(await readSmall(stdin))
  if (texts.length > 0) return texts
  throw new SealctlError(
    'SEALCTL_NO_SHARE',
    'no share came in: pipe one in, name a file with --share-file, or run it on a terminal to be asked',
  )
}

async function readSmall(stdin: InputStream): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  try {
    let byteLength = 0
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      byteLength += chunk.byteLength
      if (byteLength > MAX_PIPE_BYTES) {
        throw new SealctlError(
          'SEALCTL_INPUT_UNREADABLE',
          `more than ${MAX_PIPE_BYTES} bytes came in: no shares are that long`,
        )
      }
    }
    return joined(chunks, byteLength)
  } finally {
    for (const chunk of chunks) chunk.fill(0)
  }
}

function joined(chunks: readonly Buffer[], byteLength: number): Uint8Array {
  const whole = allocateKeyBytes(byteLength)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.byteLength
  }
  return whole
}
