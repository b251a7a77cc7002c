import { allocateKeyBytes, Secret } from '@sealwright/secret'
import { ControlApiError } from './errors.ts'

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/**
 * Puts secrets into one body, each followed by a line feed.
 *
 * @param secrets - stay the caller's. None of them has a line feed.
 * @returns bytes that are the caller's, who wipes them.
 */
export function joinSecretLines(secrets: readonly Secret[]): Uint8Array {
  const body = allocateKeyBytes(secrets.reduce((total, { byteLength }) => total + byteLength + 1, 0))
  let at = 0
  for (const secret of secrets) {
    secret.reveal(bytes => {
      body.set(bytes, at)
    })
    at += secret.byteLength
    body[at] = LINE_FEED
    at += 1
  }
  return body
}

/**
 * Takes such a body apart. Empty lines are passed over; a carriage return at the end of a line is no part of it.
 *
 * @param body - is wiped.
 * @returns secrets that are the caller's, who wipes them.
 * @throws {@link ControlApiError} `CONTROL_REQUEST_INVALID` for a line that is too long, or too many of them. The message states numbers.
 */
export function splitSecretLines(
  body: Uint8Array,
  { maxBytes, maxLines }: { readonly maxBytes: number; readonly maxLines: number },
): readonly Secret[] {
  const lines: Secret[] = []
  try {
    for (const line of linesOf(body)) {
      if (line.byteLength > maxBytes) throw invalid(`line ${lines.length + 1} has more than ${maxBytes} bytes`)
      if (lines.length === maxLines) throw invalid(`the body has more than ${maxLines} lines`)
      lines.push(new Secret(line))
    }
    return lines
  } catch (error) {
    for (const line of lines) line.wipe()
    throw error
  } finally {
    body.fill(0)
  }
}

/** Views into `body`: a {@link Secret} moves out what it is given, and wipes it there. */
function* linesOf(body: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < body.byteLength;) {
    const feed = body.indexOf(LINE_FEED, start)
    const end = feed === -1 ? body.byteLength : feed
    const last = end > start && body[end - 1] === CARRIAGE_RETURN ? end - 1 : end
    if (last > start) yield body.subarray(start, last)
    start = end + 1
  }
}

function invalid(message: string): ControlApiError {
  return new ControlApiError('CONTROL_REQUEST_INVALID', message)
}
