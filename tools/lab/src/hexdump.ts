const BYTES_PER_LINE = 16
const HALF_LINE = 8
const OFFSET_DIGITS = 8
/** Of two halves and what is between them, and a space behind. */
const HEX_WIDTH = 3 * BYTES_PER_LINE + 1
const FIRST_PRINTABLE = 0x20
const LAST_PRINTABLE = 0x7e

/** Bytes as `hexdump -C` shows them: offset, sixteen bytes in hexadecimal, and the same as text, a dot where there is none. */
export function hexdumpLines(bytes: Uint8Array): readonly string[] {
  const lines: string[] = []
  for (let offset = 0; offset < bytes.length; offset += BYTES_PER_LINE) {
    lines.push(hexdumpLine(offset, bytes.subarray(offset, offset + BYTES_PER_LINE)))
  }
  return lines
}

/**
 * The first lines of a dump and, where `needle` begins behind them, those in which it lies; `…` stands for what is left out.
 *
 * @param firstLines - how many.
 */
export function hexdumpExcerpt(bytes: Uint8Array, firstLines: number, needle?: string): readonly string[] {
  const lines = hexdumpLines(bytes)
  const foundAt = needle === undefined ? -1 : Buffer.from(bytes).indexOf(needle)
  const first = lines.slice(0, firstLines)
  if (needle === undefined || foundAt < firstLines * BYTES_PER_LINE) return first
  const from = Math.floor(foundAt / BYTES_PER_LINE)
  const to = Math.ceil((foundAt + Buffer.byteLength(needle)) / BYTES_PER_LINE)
  return [...first, ...(from > firstLines ? ['…'] : []), ...lines.slice(from, to)]
}

function hexdumpLine(offset: number, bytes: Uint8Array): string {
  const pairs = [...bytes].map(byte => byte.toString(16).padStart(2, '0'))
  const hex = [pairs.slice(0, HALF_LINE), pairs.slice(HALF_LINE)].map(half => half.join(' ').padEnd(3 * HALF_LINE - 1))
  const text = [...bytes].map(byte =>
    byte >= FIRST_PRINTABLE && byte <= LAST_PRINTABLE ? String.fromCharCode(byte) : '.',
  )
  return `${offset.toString(16).padStart(OFFSET_DIGITS, '0')}  ${hex.join('  ').padEnd(HEX_WIDTH)} |${text.join('')}|`
}
