import fc from 'fast-check'
import { encodeBase64 } from './base64.ts'

const text = (bytes: Uint8Array): string => Buffer.from(encodeBase64(bytes)).toString('latin1')

describe('encodeBase64', () => {
  it('writes what a standard encoder writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), bytes => {
        expect(text(bytes)).toBe(Buffer.from(bytes).toString('base64'))
      }),
    )
  })

  it('knows the digit of every value', () => {
    const all = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'base64')
    expect(text(all)).toBe(all.toString('base64'))
  })

  it('leaves the input to the caller', () => {
    const bytes = Uint8Array.of(1, 2, 3)
    encodeBase64(bytes).fill(0)
    expect(bytes).toEqual(Uint8Array.of(1, 2, 3))
  })
})
