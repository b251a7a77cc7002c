import { type CommandContext, write } from '../context.ts'

const MEBIBYTE = 1024 * 1024

/** Passes pieces on, and shows on a terminal how many have gone. */
export async function* reportProgress(
  { stderr }: Pick<CommandContext, 'stderr'>,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let byteLength = 0
  let shown = 0
  for await (const piece of pieces) {
    yield piece
    byteLength += piece.byteLength
    const mebibytes = Math.floor(byteLength / MEBIBYTE)
    if (stderr.isTTY === true && mebibytes > shown) {
      shown = mebibytes
      await write(stderr, `\r${mebibytes} MiB`)
    }
  }
  if (shown > 0) await write(stderr, '\r\n')
}
