import fc from 'fast-check'
import { Secret } from '@sealwright/secret'
import { joinSecretLines, splitSecretLines } from './index.ts'

const LIMITS = { maxBytes: 64, maxLines: 5 }
const texts = (secrets: readonly Secret[]) =>
  secrets.map(secret => secret.reveal(bytes => Buffer.from(bytes).toString('latin1')))

describe('secrets in lines', () => {
  it('come apart as they were put together, and the body is wiped', () => {
    const line = fc
      .uint8Array({ minLength: 1, maxLength: 64 })
      .filter(bytes => !bytes.includes(10) && bytes.at(-1) !== 13)
    fc.assert(
      fc.property(fc.array(line, { maxLength: 5 }), lines => {
        const body = joinSecretLines(lines.map(bytes => new Secret(Uint8Array.from(bytes))))
        const split = splitSecretLines(body, LIMITS)
        expect(texts(split)).toEqual(lines.map(bytes => Buffer.from(bytes).toString('latin1')))
        expect(body.every(byte => byte === 0)).toBe(true)
      }),
    )
  })

  it('may end with a carriage return, and lines may be empty', () => {
    expect(texts(splitSecretLines(Buffer.from('\n\r\none\r\n\ntwo'), LIMITS))).toEqual(['one', 'two'])
    expect(splitSecretLines(Buffer.from('\n'), LIMITS)).toEqual([])
  })

  it.each([
    ['too long', `one\n${'x'.repeat(65)}`, 'line 2 has more than 64 bytes'],
    ['too many', 'a\nb\nc\nd\ne\nf', 'the body has more than 5 lines'],
  ])('are refused where they are %s, and wiped', (_what, text, message) => {
    const body = Buffer.from(text)
    expect(() => splitSecretLines(body, LIMITS)).toThrow(message)
    expect(body.every(byte => byte === 0)).toBe(true)
  })
})
