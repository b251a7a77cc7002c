import { randomBytes } from 'node:crypto'

import { readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { isThreshold } from './secret-sharing.ts'
import { type ShamirErrorCode } from './shamir-error.ts'
import { encodeShare, MAX_SHARE_TEXT_BYTES, parseShare, SHARE_GROUPS, SHARE_TEXT_BYTES } from './share-text.ts'
import { type Share } from './share.ts'
import { at, bytesOf, codeOf, errorOf, flips, secretOf } from './testing/samples.ts'

const PREFIX_BYTES = 'sw-share-1-'.length
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

const ascii = (text: string) => new TextEncoder().encode(text)
const textOf = (share: Share) => encodeShare(share).reveal(bytes => Buffer.from(bytes).toString('latin1'))

/** What a share says, to compare. */
function contentsOf({ value, clusterId, memberId, ...numbers }: Share) {
  return { ...numbers, ids: [toHex(clusterId), toHex(memberId)], value: toHex(bytesOf(value)) }
}

const id = fc.uint8Array({ minLength: 16, maxLength: 16 })
const byte = fc.integer({ min: 1, max: 255 })
const anyShare = fc
  .record({
    clusterId: id,
    memberId: id,
    threshold: byte,
    shares: byte,
    index: byte,
    bytes: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  })
  .filter(({ threshold, shares, index }) => isThreshold(threshold, shares) && index <= shares)
  .map(({ bytes, ...share }): Share => ({ ...share, value: secretOf(bytes) }))

const share: Share = {
  clusterId: Uint8Array.from(randomBytes(16)),
  memberId: Uint8Array.from(randomBytes(16)),
  threshold: 3,
  shares: 5,
  index: 2,
  value: secretOf(randomBytes(32)),
}
const text = textOf(share)
const characters = Array.from(text)

describe('the vectors', () => {
  const fields = {
    text: 'text',
    written: 'text',
    clusterId: 'hex',
    memberId: 'hex',
    threshold: 'number',
    shares: 'number',
    index: 'number',
    value: 'hex',
  } as const
  it.each(readVectors('shamir-share', 'texts.json', fields))('are read: $name', vector => {
    const read = parseShare(ascii(vector.text))
    const { clusterId, memberId, threshold, shares, index } = vector
    expect(contentsOf(read)).toEqual(
      contentsOf({ clusterId, memberId, threshold, shares, index, value: secretOf(vector.value) }),
    )
    expect(textOf(read)).toBe(vector.written)
  })

  const refused = { text: 'text', code: 'text', group: 'number?' } as const
  it.each(readVectors('shamir-share', 'refused-texts.json', refused))('are refused: $name', vector => {
    const { code, group } = errorOf(() => parseShare(ascii(vector.text)))
    expect([code, group]).toEqual([vector.code, vector.group])
  })
})

describe('the text of a share', () => {
  it('is one line of 178 characters that a person can read aloud', () => {
    expect(text).toHaveLength(SHARE_TEXT_BYTES)
    expect(SHARE_TEXT_BYTES).toBe(178)
    expect(text).toMatch(/^sw-share-1(-[0-9a-hjkmnp-tv-z]{6}){24}$/)
  })

  it('reads back, in small and in capital letters', () => {
    fc.assert(
      fc.property(anyShare, any => {
        const written = textOf(any)
        expect(contentsOf(parseShare(ascii(written)))).toEqual(contentsOf(any))
        expect(contentsOf(parseShare(ascii(written.toUpperCase())))).toEqual(contentsOf(any))
      }),
    )
  })

  it('leaves the bytes that it is read from as they are', () => {
    const bytes = ascii(text)
    parseShare(bytes)
    expect(bytes).toEqual(ascii(text))
  })
})

describe('a typing error', () => {
  const groupOf = (offset: number) => Math.floor((offset - PREFIX_BYTES) / 7) + 1
  const offsets = Array.from({ length: text.length - PREFIX_BYTES }, (_, position) => position + PREFIX_BYTES).filter(
    offset => text[offset] !== '-',
  )

  it('of any one character is found, and its group named', () => {
    for (const offset of offsets) {
      for (const other of ALPHABET) {
        if (other === text[offset]) continue
        const changed = text.slice(0, offset) + other + text.slice(offset + 1)
        const { code, group } = errorOf(() => parseShare(ascii(changed)))
        expect([code, group]).toEqual(['SHAMIR_SHARE_MISTYPED', groupOf(offset)])
      }
    }
  })

  it('of two characters of a group that changed places is found, and their group named', () => {
    for (const first of offsets) {
      for (const second of offsets.filter(offset => offset > first && groupOf(offset) === groupOf(first))) {
        if (text[first] === text[second]) continue
        const turned = characters.with(first, at(characters, second)).with(second, at(characters, first))
        const { code, group } = errorOf(() => parseShare(ascii(turned.join(''))))
        expect([code, group]).toEqual(['SHAMIR_SHARE_MISTYPED', groupOf(first)])
      }
    }
  })

  it('of any two groups that changed places is found, and the first of them named', () => {
    const groups = text.slice(PREFIX_BYTES).split('-')
    for (let first = 0; first < SHARE_GROUPS; first += 1) {
      for (let second = first + 1; second < SHARE_GROUPS; second += 1) {
        if (groups[first]?.slice(0, 5) === groups[second]?.slice(0, 5)) continue
        const swapped = groups.with(first, at(groups, second)).with(second, at(groups, first))
        const { code, group } = errorOf(() => parseShare(ascii(`sw-share-1-${swapped.join('-')}`)))
        expect([code, group]).toEqual(['SHAMIR_SHARE_MISTYPED', first + 1])
      }
    }
  })

  it('of a character left out or doubled is found, and the group named where groups are set apart', () => {
    for (const offset of offsets) {
      const short = errorOf(() => parseShare(ascii(text.slice(0, offset) + text.slice(offset + 1))))
      const long = errorOf(() => parseShare(ascii(text.slice(0, offset + 1) + text.slice(offset))))
      expect([short.group, ['SHAMIR_SHARE_MISTYPED', 'SHAMIR_SHARE_TRUNCATED'].includes(short.code)]).toEqual([
        groupOf(offset),
        true,
      ])
      expect(long.code).toBe('SHAMIR_SHARE_MISTYPED')
    }
  })
})

describe('bytes that are not quite a share', () => {
  const codes: readonly ShamirErrorCode[] = [
    'SHAMIR_SHARE_MALFORMED',
    'SHAMIR_SHARE_UNSUPPORTED',
    'SHAMIR_SHARE_MISTYPED',
    'SHAMIR_SHARE_TRUNCATED',
  ]

  it('are refused with any bit flipped, unless that is only another spelling', () => {
    for (const { flipped, offset } of flips(ascii(text))) {
      const was = at(characters, offset)
      const is = String.fromCharCode(flipped[offset] ?? 0)
      const sameSeparator = was === '-' && is === '\r' && offset >= PREFIX_BYTES
      if (is.toLowerCase() === was || sameSeparator) {
        expect(contentsOf(parseShare(flipped))).toEqual(contentsOf(share))
      } else {
        expect(codes).toContain(codeOf(() => parseShare(flipped)))
      }
    }
  })

  it('are refused cut off anywhere', () => {
    for (let length = 0; length < text.length; length += 1) {
      const { code } = errorOf(() => parseShare(ascii(text.slice(0, length))))
      expect(code).toBe(length < PREFIX_BYTES ? 'SHAMIR_SHARE_MALFORMED' : 'SHAMIR_SHARE_TRUNCATED')
    }
  })

  it('are refused, whatever they are, and never with a digit in the message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2 * MAX_SHARE_TEXT_BYTES }), noise => {
        const { code, message } = errorOf(() => parseShare(Uint8Array.from([...ascii(text).subarray(0, 90), ...noise])))
        expect(codes).toContain(code)
        for (const group of text.slice(PREFIX_BYTES).split('-')) expect(message).not.toContain(group)
      }),
    )
  })
})
