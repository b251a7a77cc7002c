import { isUtf8 } from 'node:buffer'
import { joinBytes } from '@sealwright/bytes'
import { allocateKeyBytes, Secret } from '@sealwright/secret'
import { OpenBaoError } from './error.ts'

/**
 * JSON read from bytes without making a string of any value, so that the bytes can be wiped.
 *
 * What cannot be promised: the bytes went through the kernel, OpenSSL, Node's stream buffers and undici before they
 * reached us, and each may have left a copy. Only our own copies are wiped. Member names become strings; they are no
 * secret.
 */
export type SecretJson =
  | { readonly kind: 'object'; readonly members: ReadonlyMap<string, SecretJson> }
  | { readonly kind: 'array'; readonly items: readonly SecretJson[] }
  /** The bytes between the quotes. */
  | { readonly kind: 'string'; readonly start: number; readonly end: number }
  /** A number, true, false or null: the bytes of it. */
  | { readonly kind: 'plain'; readonly start: number; readonly end: number }

/** Deeper than anything OpenBao answers to us. */
const MAX_DEPTH = 32

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPENING_BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d
/** `+`, `-` and `.` */
const PLAIN_MARKS: ReadonlySet<number> = new Set([0x2b, 0x2d, 0x2e])
const PLAIN_VALUE = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/
const ESCAPED: Readonly<Record<string, number>> = {
  '"': 0x22,
  '\\': 0x5c,
  '/': 0x2f,
  b: 0x08,
  f: 0x0c,
  n: 0x0a,
  r: 0x0d,
  t: 0x09,
}

/**
 * Parses one JSON text (RFC 8259) to the end of `bytes`.
 *
 * @returns A tree of places in `bytes`; strings are copied out by {@link secretText}.
 * @throws {@link OpenBaoError} `OPENBAO_RESPONSE_MALFORMED`; the message tells the place, never the text.
 */
export function parseSecretJson(bytes: Uint8Array, request: string): SecretJson {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0

  const fail = (): OpenBaoError =>
    new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${request}: the body is not JSON (byte ${at})`)
  const skipSpace = (): void => {
    while (isSpace(bytes[at])) at++
  }
  /** True, and past it, if the next byte that is not white space is `expected`. */
  const taken = (expected: number): boolean => {
    skipSpace()
    if (bytes[at] !== expected) return false
    at++
    return true
  }
  const take = (expected: number): void => {
    if (!taken(expected)) throw fail()
  }

  /** From behind its first quotation mark. */
  const string = (): { readonly kind: 'string'; readonly start: number; readonly end: number } => {
    const start = at
    for (;;) {
      const byte = bytes[at]
      if (byte === undefined || byte < 0x20) throw fail()
      if (byte === QUOTE) return { kind: 'string', start, end: at++ }
      at += byte === BACKSLASH ? 2 : 1
    }
  }

  const memberName = (): string => {
    take(QUOTE)
    const name = string()
    const hasEscape = bytes.subarray(name.start, name.end).includes(BACKSLASH)
    if (!hasEscape) return text.toString('utf8', name.start, name.end)
    return secretText(bytes, name, request).reveal(utf8 => new TextDecoder().decode(utf8))
  }

  const value = (depth: number): SecretJson => {
    if (depth > MAX_DEPTH) throw fail()
    if (taken(OPENING_BRACE)) return object(depth)
    if (taken(OPENING_BRACKET)) return array(depth)
    if (taken(QUOTE)) return string()
    const start = at
    while (isPlainByte(bytes[at])) at++
    if (!PLAIN_VALUE.test(text.toString('latin1', start, at))) throw fail()
    return { kind: 'plain', start, end: at }
  }

  const object = (depth: number): SecretJson => {
    const members = new Map<string, SecretJson>()
    if (taken(CLOSING_BRACE)) return { kind: 'object', members }
    do {
      const name = memberName()
      take(COLON)
      members.set(name, value(depth + 1))
    } while (taken(COMMA))
    take(CLOSING_BRACE)
    return { kind: 'object', members }
  }

  const array = (depth: number): SecretJson => {
    const items: SecretJson[] = []
    if (taken(CLOSING_BRACKET)) return { kind: 'array', items }
    do items.push(value(depth + 1))
    while (taken(COMMA))
    take(CLOSING_BRACKET)
    return { kind: 'array', items }
  }

  if (!isUtf8(bytes)) throw fail()
  const root = value(0)
  skipSpace()
  if (at !== bytes.length) throw fail()
  return root
}

/** RFC 8259 §2. */
function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d
}

/** What numbers, true, false and null are made of: letters, digits, `+`, `-` and `.`. */
function isPlainByte(byte = 0): boolean {
  const letter = byte | 0x20
  return (letter >= 0x61 && letter <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || PLAIN_MARKS.has(byte)
}

/**
 * Copies a string's text out of `bytes`, escapes resolved, as UTF-8. The caller owns, and wipes, the result.
 *
 * @throws {@link OpenBaoError} `OPENBAO_RESPONSE_MALFORMED` for an unknown escape or half a surrogate pair.
 */
export function secretText(
  bytes: Uint8Array,
  { start, end }: { readonly start: number; readonly end: number },
  request: string,
): Secret {
  const raw = bytes.subarray(start, end)
  if (!raw.includes(BACKSLASH)) {
    const text = allocateKeyBytes(raw.byteLength)
    text.set(raw)
    return new Secret(text)
  }
  // Each escape is longer than what it stands for, so this is always enough.
  const text = allocateKeyBytes(end - start)
  let length = 0
  let at = start
  while (at < end) {
    const byte = bytes[at] ?? 0
    if (byte !== BACKSLASH) {
      text[length++] = byte
      at++
      continue
    }
    const { utf8, next } = readEscape(bytes, at, end, request)
    text.set(utf8, length)
    length += utf8.length
    at = next
  }
  if (length === text.length) return new Secret(text)
  return new Secret(shorten(text, length))
}

function readEscape(
  bytes: Uint8Array,
  at: number,
  end: number,
  request: string,
): { readonly utf8: Uint8Array; readonly next: number } {
  const malformed = (): OpenBaoError =>
    new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${request}: bad escape in the body (byte ${at})`)
  const letter = String.fromCharCode(bytes[at + 1] ?? 0)
  const simple = ESCAPED[letter]
  if (simple !== undefined) return { utf8: Uint8Array.of(simple), next: at + 2 }
  const unit = readUnit(bytes, at, end)
  if (unit === undefined) throw malformed()
  const isHigh = unit >= 0xd800 && unit <= 0xdbff
  const low = isHigh ? readUnit(bytes, at + UNIT_BYTES, end) : undefined
  const text = low === undefined ? String.fromCharCode(unit) : String.fromCharCode(unit, low)
  if (!text.isWellFormed()) throw malformed()
  return { utf8: new TextEncoder().encode(text), next: at + (low === undefined ? 1 : 2) * UNIT_BYTES }
}

/** `\uXXXX` */
const UNIT_BYTES = 6

function readUnit(bytes: Uint8Array, at: number, end: number): number | undefined {
  if (at + UNIT_BYTES > end) return undefined
  const text = String.fromCharCode(...bytes.subarray(at, at + UNIT_BYTES))
  return /^\\u[\da-fA-F]{4}$/.test(text) ? Number.parseInt(text.slice(2), 16) : undefined
}

/**
 * Writes one JSON object whose values are secret UTF-8 texts, without making strings of them.
 *
 * @returns Fresh bytes that the caller wipes once they are sent.
 * @throws {@link OpenBaoError} `OPENBAO_REQUEST_INVALID` if a value is not UTF-8.
 */
export function encodeSecretObject(members: Readonly<Record<string, Secret>>): Uint8Array {
  const parts = Object.entries(members).flatMap(([name, secret], index) => [
    new TextEncoder().encode(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:"`),
    secret.reveal(utf8 => escapeText(utf8, name)),
    Uint8Array.of(QUOTE),
  ])
  if (parts.length === 0) return new TextEncoder().encode('{}')
  const object = joinBytes([...parts, new TextEncoder().encode('}')])
  for (const part of parts) part.fill(0)
  return object
}

/** RFC 8259 §7: quotation mark, backslash and control characters must be escaped; the rest stands for itself. */
function escapeText(utf8: Uint8Array, name: string): Uint8Array {
  if (!isUtf8(utf8)) throw new OpenBaoError('OPENBAO_REQUEST_INVALID', `the value of "${name}" is not UTF-8 text`)
  const escaped = allocateKeyBytes(utf8.length * UNIT_BYTES)
  let length = 0
  for (const byte of utf8) {
    if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) {
      escaped[length++] = byte
      continue
    }
    escaped.set(new TextEncoder().encode(`\\u${byte.toString(16).padStart(4, '0')}`), length)
    length += UNIT_BYTES
  }
  return shorten(escaped, length)
}

/** The first bytes of them, moved; what was given is overwritten. */
function shorten(bytes: Uint8Array, byteLength: number): Uint8Array {
  const shorter = allocateKeyBytes(byteLength)
  shorter.set(bytes.subarray(0, byteLength))
  bytes.fill(0)
  return shorter
}
