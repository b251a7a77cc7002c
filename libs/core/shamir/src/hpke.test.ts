import { randomBytes } from 'node:crypto'

import { readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { AEAD_AES_256_GCM, hpkeOpen, hpkeSeal, KEM_X_WING, keySchedule } from './hpke.ts'
import { otherOpen, otherSeal } from './testing/other-hpke.ts'
import { bytesOf, flips, secretOf } from './testing/samples.ts'
import { xWingPublicKey } from './x-wing.ts'

const seed = Uint8Array.from(randomBytes(32))
const publicKey = xWingPublicKey(secretOf(seed))

const bytes = fc.uint8Array({ minLength: 1, maxLength: 80 })
const infos = fc.uint8Array({ maxLength: 64 })

describe('the key schedule', () => {
  const fields = { sharedSecret: 'hex', info: 'hex', aeadId: 'number', key: 'hex', baseNonce: 'hex' } as const
  it.each(readVectors('shamir-sealed-kek', 'key-schedule.json', fields))('is that of the vectors: $name', vector => {
    const { aeadId, info } = vector
    const schedule = keySchedule({ sharedSecret: secretOf(vector.sharedSecret), info, kemId: KEM_X_WING, aeadId })
    expect([toHex(schedule.key), toHex(schedule.baseNonce)]).toEqual([toHex(vector.key), toHex(vector.baseNonce)])
  })

  it('depends on every input', () => {
    const input = { sharedSecret: secretOf(seed), info: new Uint8Array(), kemId: KEM_X_WING, aeadId: AEAD_AES_256_GCM }
    const keys = [
      input,
      { ...input, sharedSecret: secretOf(randomBytes(32)) },
      { ...input, info: Uint8Array.of(0) },
      { ...input, kemId: 0x20 },
      { ...input, aeadId: 3 },
    ].map(changed => toHex(keySchedule(changed).key))
    expect(new Set(keys).size).toBe(keys.length)
  })
})

describe('HPKE', () => {
  it('opens what it sealed, for this info and no other', () => {
    fc.assert(
      fc.property(bytes, infos, (plaintext, info) => {
        const sealed = hpkeSeal({ publicKey, info, plaintext: secretOf(plaintext) })
        const opened = hpkeOpen({ privateKey: secretOf(seed), info, ...sealed })
        expect(opened === null ? null : bytesOf(opened)).toEqual(plaintext)
        const otherInfo = Uint8Array.from([...info, 0])
        expect(hpkeOpen({ privateKey: secretOf(seed), info: otherInfo, ...sealed })).toBeNull()
      }),
      { numRuns: 25 },
    )
  })

  it('opens nothing whose ciphertext was changed', () => {
    const info = new Uint8Array()
    const sealed = hpkeSeal({ publicKey, info, plaintext: secretOf(Uint8Array.of(1, 2)) })
    for (const { flipped } of flips(sealed.ciphertext)) {
      expect(hpkeOpen({ privateKey: secretOf(seed), info, enc: sealed.enc, ciphertext: flipped })).toBeNull()
    }
  })
})

describe('@hpke/core with @hpke/hybridkem-x-wing', () => {
  it('opens what is sealed here', async () => {
    await fc.assert(
      fc.asyncProperty(bytes, infos, async (plaintext, info) => {
        const sealed = hpkeSeal({ publicKey, info, plaintext: secretOf(plaintext) })
        expect(await otherOpen(seed, info, sealed)).toEqual(plaintext)
      }),
      { numRuns: 10 },
    )
  })

  it('seals what is opened here', async () => {
    await fc.assert(
      fc.asyncProperty(bytes, infos, async (plaintext, info) => {
        const opened = hpkeOpen({ privateKey: secretOf(seed), info, ...(await otherSeal(publicKey, info, plaintext)) })
        expect(opened === null ? null : bytesOf(opened)).toEqual(plaintext)
      }),
      { numRuns: 10 },
    )
  })
})
