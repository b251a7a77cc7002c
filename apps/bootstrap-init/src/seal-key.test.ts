import { BootstrapError } from './errors.ts'
import { parseKeyId, parseSealKey } from './seal-key.ts'
import { bootstrapError } from './testing/bootstrap-error.ts'

const KEY = Buffer.from('00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0ffb', 'hex')
const TEXT = KEY.toString('base64')

describe('the text of a seal key', () => {
  it.each<[string, Uint8Array, string, RegExp]>([
    [
      '31 bytes',
      Buffer.from(KEY.subarray(1).toString('base64')),
      'BOOTSTRAP_KEY_LENGTH',
      /has 31 bytes .* must have 32/,
    ],
    [
      '33 bytes',
      Buffer.from(Buffer.concat([KEY, KEY.subarray(0, 1)]).toString('base64')),
      'BOOTSTRAP_KEY_LENGTH',
      /has 33 bytes .* must have 32/,
    ],
    [
      'the key in hex',
      Buffer.from(KEY.toString('hex')),
      'BOOTSTRAP_KEY_LENGTH',
      /has 48 bytes once its base64 is decoded/,
    ],
    ['an empty file', Buffer.alloc(0), 'BOOTSTRAP_KEY_LENGTH', /is empty/],
    ['more than any key needs', Buffer.alloc(4097, 'A'), 'BOOTSTRAP_KEY_LENGTH', /more than 4096 bytes/],
    [
      'a line feed at the end',
      Buffer.from(`${TEXT}\n`),
      'BOOTSTRAP_KEY_NEWLINE',
      /has a line break.*printf %s KEY > FILE; do not make/,
    ],
    ['CRLF at the end', Buffer.from(`${TEXT}\r\n`), 'BOOTSTRAP_KEY_NEWLINE', /has a line break/],
    [
      'a line break inside',
      Buffer.from(`${TEXT.slice(0, 20)}\n${TEXT.slice(20)}`),
      'BOOTSTRAP_KEY_NEWLINE',
      /line break/,
    ],
    ['a line feed alone', Buffer.from('\n'), 'BOOTSTRAP_KEY_NEWLINE', /line break/],
    ['32 bare bytes', KEY, 'BOOTSTRAP_KEY_BASE64', /outside the alphabet/],
    [
      '32 bare bytes, a line feed among them',
      Buffer.from(KEY).fill(0x0a, 4, 5),
      'BOOTSTRAP_KEY_BASE64',
      /outside the alphabet/,
    ],
    ['a space at the end', Buffer.from(`${TEXT} `), 'BOOTSTRAP_KEY_BASE64', /not a multiple of 4/],
    ['no padding', Buffer.from(TEXT.replace('=', '')), 'BOOTSTRAP_KEY_BASE64', /not a multiple of 4/],
    [
      'the URL alphabet',
      Buffer.from(`${TEXT.slice(0, 42)}_=`),
      'BOOTSTRAP_KEY_BASE64',
      /offset 42 is outside the alphabet/,
    ],
    ['padding bits that are not zero', Buffer.from(`${TEXT.slice(0, 42)}t=`), 'BOOTSTRAP_KEY_BASE64', /padding bits/],
    ['base64 of base64', Buffer.from(Buffer.from(TEXT).toString('base64')), 'BOOTSTRAP_KEY_LENGTH', /has 44 bytes/],
  ])('is refused with its code: %s', (_, text, code, message) => {
    expect(() => parseSealKey(text)).toThrow(bootstrapError(code, message) as Error)
  })

  it('never stands in the error', () => {
    for (const text of [`${TEXT}\n`, TEXT.slice(0, 43), `${TEXT.slice(0, 42)}_=`, KEY.toString('hex')]) {
      let thrown: unknown
      try {
        parseSealKey(Buffer.from(text))
      } catch (error) {
        thrown = error
      }
      expect(thrown).toBeInstanceOf(BootstrapError)
      expect((thrown as BootstrapError).message).not.toContain(text.slice(0, 8))
    }
  })

  it('gives the 32 bytes, and leaves the text to the caller', () => {
    const text = Buffer.from(TEXT)
    expect(parseSealKey(text).reveal(bytes => Buffer.from(bytes))).toEqual(KEY)
    expect(text.toString()).toBe(TEXT)
  })
})

describe('a key id', () => {
  it.each(['', ' ', 'two words', 'line\n', 'ümlaut', 'x'.repeat(65), 'tab\t'])('%j is refused', text => {
    expect(() => parseKeyId(text)).toThrow(bootstrapError('BOOTSTRAP_KEY_ID') as Error)
  })

  it.each(['1', 'bootstrap-2025', '~', 'x'.repeat(64)])('%j is taken', text => {
    expect(parseKeyId(text)).toBe(text)
  })
})
