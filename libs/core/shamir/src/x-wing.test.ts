import { randomBytes } from 'node:crypto'

import { readVectors, toHex } from '@sealwright/testing-vectors'

import { otherEncapsulate } from './testing/other-hpke.ts'
import { bytesOf, codeOf, secretOf } from './testing/samples.ts'
import { xWingDecapsulate, xWingEncapsulate, xWingPublicKey } from './x-wing.ts'

const VECTOR = { seed: 'hex', eseed: 'hex', publicKey: 'hex', enc: 'hex', sharedSecret: 'hex' } as const

describe('the vectors of the draft', () => {
  it.each(readVectors('shamir-sealed-kek', 'x-wing.json', VECTOR))('hold: $name', vector => {
    const seed = secretOf(vector.seed)
    expect(toHex(xWingPublicKey(seed))).toBe(toHex(vector.publicKey))
    expect(toHex(bytesOf(xWingDecapsulate(seed, vector.enc)))).toBe(toHex(vector.sharedSecret))
  })

  it.each(readVectors('shamir-sealed-kek', 'x-wing.json', VECTOR))(
    'hold for @hpke/hybridkem-x-wing: $name',
    async ({ publicKey, eseed, enc, sharedSecret }) => {
      const other = await otherEncapsulate(publicKey, eseed)
      expect([toHex(other.enc), toHex(other.sharedSecret)]).toEqual([toHex(enc), toHex(sharedSecret)])
    },
  )
})

describe('X-Wing', () => {
  it('gives both sides one secret, another one each time', () => {
    const seed = secretOf(randomBytes(32))
    const publicKey = xWingPublicKey(seed)
    const [first, second] = [xWingEncapsulate(publicKey), xWingEncapsulate(publicKey)]
    expect(xWingDecapsulate(seed, first.enc).equals(first.sharedSecret)).toBe(true)
    expect(xWingDecapsulate(seed, second.enc).equals(second.sharedSecret)).toBe(true)
    expect(first.sharedSecret.equals(second.sharedSecret)).toBe(false)
  })

  it('refuses a public key of low order, and an ML-KEM key out of range, with SHAMIR_WRAPPING_KEY_INVALID', () => {
    const publicKey = xWingPublicKey(secretOf(randomBytes(32)))
    const lowOrder = Uint8Array.from(publicKey).fill(0, 1184)
    const outOfRange = Uint8Array.from(publicKey).fill(0xff, 0, 3)
    expect(codeOf(() => xWingEncapsulate(lowOrder))).toBe('SHAMIR_WRAPPING_KEY_INVALID')
    expect(codeOf(() => xWingEncapsulate(outOfRange))).toBe('SHAMIR_WRAPPING_KEY_INVALID')
  })

  it('refuses an encapsulated point of low order with SHAMIR_SEALED_KEK_AUTH_FAILED', () => {
    expect(codeOf(() => xWingDecapsulate(secretOf(randomBytes(32)), new Uint8Array(1120)))).toBe(
      'SHAMIR_SEALED_KEK_AUTH_FAILED',
    )
  })

  it('does not take a wiped seed for a key', () => {
    const seed = secretOf(randomBytes(32))
    seed.wipe()
    expect(() => xWingDecapsulate(seed, new Uint8Array(1120))).toThrow('this secret was wiped')
  })
})
