import { type Secret } from '@sealwright/secret'
import { repeats } from './repetition.ts'

/** How many characters of a server's text a message quotes, and in how many they are looked for. */
const MAX_QUOTED_CHARS = 300
const MAX_READ_CHARS = 600

/** Stands for a text that is not quoted at all. */
const WITHHELD = 'a text that repeats a secret'
/** Stands for what looks like a key or a token of which we know nothing. */
const HIDDEN = '[…]'

/**
 * A server's text as it may stand in a message: on one line, without control characters, and shortened. One that repeats any of the secrets is
 * not quoted; of others, what looks like a key is left out.
 *
 * @param secrets - what was sent, and what came with the text.
 */
export function quote(text: string, secrets: readonly Secret[]): string {
  const read = text.slice(0, MAX_READ_CHARS)
  return repeats(read, secrets) ? WITHHELD : shorten(withoutKeys(onOneLine(read)))
}

/** The same, where nothing secret has been said yet: of a certificate, before any request. */
export function quotePublic(text: string): string {
  return shorten(onOneLine(text.slice(0, MAX_READ_CHARS)))
}

function onOneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim()
}

function shorten(text: string): string {
  return text.length <= MAX_QUOTED_CHARS ? text : `${text.slice(0, MAX_QUOTED_CHARS)}…`
}

/** Long words of digits and letters of both cases, as base64 and tokens are, and long hex. Names and paths are neither. */
const LONG_WORD = /[\w+/=.-]{20,}/g
const MIXED = /(?=.*[a-z])(?=.*[A-Z])(?=.*\d)/
const HEX = /[\da-f]{32}/i

function withoutKeys(text: string): string {
  return text.replace(LONG_WORD, word => (MIXED.test(word) || HEX.test(word) ? HIDDEN : word))
}
