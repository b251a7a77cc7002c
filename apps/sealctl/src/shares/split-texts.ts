import { allocateKeyBytes, Secret } from '@sealwright/secret'

const LINE_FEED = 0x0a
const HASH = 0x23
const SPACE = 0x20
const UPPER_CASE = 0x20
const BEGINNING = new TextEncoder().encode('sw-share-')

/**
 * Finds the shares in what somebody stored or copied: cards as `sealctl init` writes them, or shares alone. A line that begins with `#` is
 * a remark. A share begins with `sw-share-` at the beginning of a line, and may go on over several lines until an empty one.
 *
 * @param text - is wiped.
 * @returns the text of each share in one line; also what is none, so that whoever reads it can say why. They are the caller's.
 */
export function splitShareTexts(text: Uint8Array): readonly Secret[] {
  const found: Uint8Array[][] = []
  let isBetween = true
  for (const line of linesOf(text)) {
    if (line.byteLength === 0) isBetween = true
    else if (line[0] !== HASH) {
      const last = found.at(-1)
      if (last === undefined || isBetween || isBeginning(line)) found.push([line])
      else last.push(line)
      isBetween = false
    }
  }
  const texts = found.map(joined)
  text.fill(0)
  return texts
}

/** Views of the lines, without blanks around them. */
function* linesOf(text: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start <= text.byteLength;) {
    const feed = text.indexOf(LINE_FEED, start)
    const end = feed === -1 ? text.byteLength : feed
    yield trimmed(text.subarray(start, end))
    start = end + 1
  }
}

function trimmed(line: Uint8Array): Uint8Array {
  let start = 0
  let end = line.byteLength
  while (start < end && isBlank(line[start])) start += 1
  while (end > start && isBlank(line[end - 1])) end -= 1
  return line.subarray(start, end)
}

function isBlank(byte: number | undefined): boolean {
  return byte !== undefined && byte <= SPACE
}

/** In capitals, too. */
function isBeginning(line: Uint8Array): boolean {
  return BEGINNING.every((byte, index) => byte === line[index] || byte === ((line[index] ?? 0) | UPPER_CASE))
}

function joined(lines: readonly Uint8Array[]): Secret {
  const whole = allocateKeyBytes(lines.reduce((total, { byteLength }) => total + byteLength + 1, -1))
  let at = 0
  for (const line of lines) {
    if (at > 0) {
      whole[at] = SPACE
      at += 1
    }
    whole.set(line, at)
    at += line.byteLength
  }
  return new Secret(whole)
}
