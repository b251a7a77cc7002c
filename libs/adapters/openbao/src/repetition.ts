import { type Secret } from '@sealwright/secret'

/** So many bytes of a secret in a row are found: a server may cut what it repeats. As one number they stay below 2^53. */
const RUN_BYTES = 6
/** A shorter secret turns up in any text by chance, and anybody can guess it. */
const MIN_SECRET_BYTES = 4
/** A text can be the base64 of a body in which a key stands in base64. */
const MAX_DEPTH = 2
/** An escape can be escaped itself, by each program that it came through. */
const MAX_ESCAPES = 3

/**
 * Whether a text repeats a part of a secret: as it is, escaped (JSON, URL, HTML, Go), or in hex, base64 or decimal numbers of any style, and
 * in what such digits stand for.
 *
 * It is the text that is read in all these ways: no secret is copied, and none becomes a string.
 *
 * @param secrets - one that was wiped meanwhile counts as repeated, since nobody can tell.
 */
export function repeats(text: string, secrets: readonly Secret[]): boolean {
  if (secrets.length === 0) return false
  const readings = readingsOf(text, MAX_DEPTH)
  /** By their length. */
  const runs = new Map<number, ReadonlySet<number>>()
  const runsOf = (byteLength: number): ReadonlySet<number> => {
    const known = runs.get(byteLength)
    if (known !== undefined) return known
    const found = new Set<number>()
    for (const bytes of readings) {
      someRun(bytes, byteLength, run => {
        found.add(run)
        return false
      })
    }
    runs.set(byteLength, found)
    return found
  }
  return secrets.some(secret => {
    if (secret.byteLength < MIN_SECRET_BYTES) return false
    const byteLength = Math.min(RUN_BYTES, secret.byteLength)
    const said = runsOf(byteLength)
    try {
      return secret.reveal(bytes => someRun(bytes, byteLength, run => said.has(run)))
    } catch {
      return true // wiped, so it cannot be looked for
    }
  })
}

/** Whether a condition holds for any so many bytes in a row, read as one number. */
function someRun(bytes: Uint8Array, byteLength: number, holds: (run: number) => boolean): boolean {
  const withoutFirst = 256 ** (byteLength - 1)
  let run = 0
  for (let index = 0; index < bytes.byteLength; index += 1) {
    run = (run % withoutFirst) * 256 + (bytes[index] ?? 0)
    if (index >= byteLength - 1 && holds(run)) return true
  }
  return false
}

/** All bytes that a text may stand for. */
function readingsOf(text: string, depth: number): readonly Uint8Array[] {
  const spellings = [...new Set([text, withoutEscapes(text)])]
  const itself = spellings.flatMap(each => [Buffer.from(each, 'latin1'), Buffer.from(each, 'utf8')])
  if (depth === 0) return itself
  const decoded = spellings.flatMap(decodings).filter(({ byteLength }) => byteLength >= MIN_SECRET_BYTES)
  return [...itself, ...decoded.flatMap(bytes => readingsOf(bytes.toString('latin1'), depth - 1))]
}

/** The digits in a text as hex, base64 and decimal numbers, wherever they begin and whatever stands between them. */
function decodings(text: string): readonly Buffer[] {
  const hex = text.replace(/0x|[^\da-f]/gi, '')
  const base64 = text.replace(/[^\w+/-]/g, '')
  // Java's bytes have a sign.
  const numbers = [...text.matchAll(/(?<!\d)-?\d+/g)].map(Number).filter(number => number >= -128 && number <= 255)
  return [
    ...[0, 1].map(skipped => Buffer.from(hex.slice(skipped), 'hex')),
    ...[0, 1, 2, 3].map(skipped => Buffer.from(base64.slice(skipped), 'base64')),
    Buffer.from(numbers),
  ]
}

/** `%2B`, `\u002b`, `\x2b`, `\053`, `&#43;`, `&#x2b;`, `\n`; any other letter behind a backslash stands for itself. */
const ESCAPE = /%([\da-f]{2})|\\u([\da-f]{4})|\\x([\da-f]{2})|\\([0-7]{3})|&#(\d{1,5});|&#x([\da-f]{1,4});|\\(.)/gi
const LETTERS: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 }

function withoutEscapes(text: string): string {
  let plain = text
  for (let round = 0; round < MAX_ESCAPES; round += 1) plain = plain.replace(ESCAPE, unescaped)
  return plain
}

function unescaped(_: string, ...groups: readonly (string | undefined)[]): string {
  const [percent, unit, byte, octal, decimal, hex, letter = ''] = groups
  const digits = percent ?? unit ?? byte ?? hex
  if (digits !== undefined) return String.fromCharCode(Number.parseInt(digits, 16))
  if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8))
  if (decimal !== undefined) return String.fromCharCode(Number(decimal))
  const code = LETTERS[letter]
  return code === undefined ? letter : String.fromCharCode(code)
}
