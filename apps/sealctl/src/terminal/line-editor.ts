import { allocateKeyBytes, Secret } from '@sealwright/secret'

/** What a byte that was typed led to. */
export type Typed =
  | { readonly kind: 'more' }
  /** A line is whole, without its end; it is the caller's. */
  | { readonly kind: 'line'; readonly line: Secret }
  /** Ctrl-D on an empty line: there will be no more. */
  | { readonly kind: 'end' }
  /** Ctrl-C. */
  | { readonly kind: 'interrupt' }

/** Reads lines byte by byte from a terminal that edits nothing by itself, and keeps them out of strings. */
export interface LineEditor extends Disposable {
  type(byte: number): Typed
}

const CTRL_C = 0x03
const CTRL_D = 0x04
const BACKSPACE = 0x08
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const CTRL_U = 0x15
const ESCAPE = 0x1b
const SPACE = 0x20
const OPENING_BRACKET = 0x5b
const DELETE = 0x7f

const MORE = { kind: 'more' } as const

/**
 * Makes a line editor. Backspace takes the last byte back, Ctrl-U all of them. Sequences that keys such as the arrows send, and other
 * control characters, do nothing.
 *
 * @param maxBytes - of a line. One byte more is kept, so that a reader sees that the line is too long; the rest is dropped.
 */
export function createLineEditor(maxBytes: number): LineEditor {
  const line = allocateKeyBytes(maxBytes + 1)
  let byteLength = 0
  /** Within a sequence such as `ESC [ A` (ECMA-48 §5.4). */
  let sequence: 'none' | 'escape' | 'parameters' = 'none'
  let isAfterReturn = false

  const clear = (): void => {
    line.fill(0)
    byteLength = 0
  }

  const isOfSequence = (byte: number): boolean => {
    switch (sequence) {
      case 'none':
        if (byte !== ESCAPE) return false
        sequence = 'escape'
        return true
      case 'escape':
        sequence = byte === OPENING_BRACKET ? 'parameters' : 'none'
        // A bare Escape: what follows was typed.
        return byte === OPENING_BRACKET
      case 'parameters':
        // Ends with the first byte from `@` to `~`.
        if (byte >= 0x40 && byte <= 0x7e) sequence = 'none'
        return byte >= SPACE
    }
  }

  const type = (byte: number): Typed => {
    const endsReturn = isAfterReturn && byte === LINE_FEED
    isAfterReturn = byte === CARRIAGE_RETURN
    if (endsReturn || isOfSequence(byte)) return MORE
    switch (byte) {
      case CTRL_C:
        clear()
        return { kind: 'interrupt' }
      case CTRL_D:
        return byteLength === 0 ? { kind: 'end' } : MORE
      case CARRIAGE_RETURN:
      case LINE_FEED: {
        const whole = new Secret(line.slice(0, byteLength))
        clear()
        return { kind: 'line', line: whole }
      }
      case BACKSPACE:
      case DELETE:
        if (byteLength > 0) byteLength -= 1
        line[byteLength] = 0
        return MORE
      case CTRL_U:
        clear()
        return MORE
      default:
        if (byte >= SPACE && byteLength <= maxBytes) {
          line[byteLength] = byte
          byteLength += 1
        }
        return MORE
    }
  }

  return { type, [Symbol.dispose]: clear }
}
