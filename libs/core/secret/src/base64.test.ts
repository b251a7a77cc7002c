import { readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { decodeBase64 } from './base64.ts'
import { SecretError } from './secret-error.ts'

const ascii = (text: string) => new TextEncoder().encode(text)

/** The code of the {@link SecretError} that `run` throws. */
function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof SecretError) return error.code
    throw error
  }
  return 'none'
}

const vectors = readVectors('secret', 'base64.json', { encoded: 'text', bytes: 'hex?', code: 'text?' })

describe('base64 vectors', () => {
  it.each(vectors.filter(({ bytes }) => bytes !== undefined))('decode $name', ({ encoded, bytes }) => {
    expect(decodeBase64(ascii(encoded)).reveal(toHex)).toBe(toHex(bytes ?? new Uint8Array()))
  })

  it.each(vectors.filter(({ code }) => code !== undefined))('refuse $name', ({ encoded, code }) => {
    expect(codeOf(() => decodeBase64(ascii(encoded)))).toBe(code)
  })
})

describe('decodeBase64', () => {
  it('reads whatever a standard encoder wrote', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), bytes => {
        const encoded = ascii(Buffer.from(bytes).toString('base64'))
        expect(decodeBase64(encoded).reveal(toHex)).toBe(toHex(bytes))
      }),
    )
  })

  it('accepts a text only if encoding the result gives that text again', () => {
    const digit = fc.constantFrom(...Array.from('ABCXYZabcxyz0189+/=-_ \n'))
    fc.assert(
      fc.property(fc.array(digit, { maxLength: 12 }), digits => {
        const text = digits.join('')
        const canonical = text !== '' && Buffer.from(text, 'base64').toString('base64') === text
        expect(codeOf(() => decodeBase64(ascii(text)))).toBe(canonical ? 'none' : 'SECRET_BASE64_INVALID')
      }),
      { numRuns: 1000 },
    )
  })

  it('knows every byte value as a digit or as none', () => {
    const alphabet = new Set(ascii('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'))
    for (let byte = 0; byte <= 0xff; byte += 1) {
      const expected = alphabet.has(byte) ? 'none' : 'SECRET_BASE64_INVALID'
      expect(codeOf(() => decodeBase64(Uint8Array.of(0x41, byte, 0x41, 0x41)))).toBe(expected)
    }
  })

  it('says in which way a key file is wrong, without showing a digit of it', () => {
    const messageOf = (text: string) => {
      try {
        decodeBase64(ascii(text))
      } catch (error) {
        return (error as Error).message
      }
      return 'none'
    }
    expect(messageOf('Zm9v\n')).toBe('not canonical standard base64: it ends with a line break (encode it without one)')
    expect(messageOf('Zm9')).toBe('not canonical standard base64: its length, 3 bytes, is not a multiple of 4')
    expect(messageOf('Zm9v-m9v')).toBe('not canonical standard base64: the byte at offset 4 is outside the alphabet')
    expect(messageOf('Zh==')).toBe('not canonical standard base64: its padding bits are not zero')
  })

  it('leaves the input to the caller', () => {
    const encoded = ascii('Zm9v')
    decodeBase64(encoded).wipe()
    expect(toHex(encoded)).toBe(toHex(ascii('Zm9v')))
  })
})
