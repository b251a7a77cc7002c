import { createDecipheriv, createECDH, createHmac, randomBytes } from 'node:crypto'

import * as fc from 'fast-check'

import { TpmWireError } from './errors.ts'
import { createImportBlob } from './import-blob.ts'
import { kdfA, kdfE } from './kdf.ts'
import { encodePcrSelection, pcrDigest, readPcrSelection } from './pcr.ts'
import { type TpmtPublic, decodePublic, encodePublic, objectName } from './public-area.ts'
import { TpmReader, readAll } from './reader.ts'
import { encodeSensitiveCreate } from './sensitive.ts'
import { decryptParameter, encryptParameter, isSameHmac, trimAuthValue } from './session.ts'
import { encodeEcdsaSignature } from './signature.ts'
import { STORAGE_KEY_TEMPLATE, policySignerPublic, sealedTemplate } from './templates.ts'
import { sized, u16, u32, u8 } from './writer.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const none = fc.constant(new Uint8Array(0))
const base = {
  attributes: fc.integer({ min: 0, max: 0xffff_ffff }).map(value => (value & 0x000f_0cf6) >>> 0),
  authPolicy: fc.oneof(bytes32, none),
}
const point = fc.oneof(fc.record({ x: bytes32, y: bytes32 }), fc.record({ x: none, y: none }))
const anyPublic: fc.Arbitrary<TpmtPublic> = fc.oneof(
  fc.record({ type: fc.constant('keyedHash' as const), ...base, unique: fc.oneof(bytes32, none) }),
  fc.record({
    type: fc.constant('ecc' as const),
    ...base,
    symmetric: fc.constantFrom('aes128cfb' as const, 'null' as const),
    scheme: fc.constantFrom('ecdsaSha256' as const, 'null' as const),
    unique: point,
  }),
)

describe('public areas', () => {
  it('come out as they went in', () => {
    fc.assert(
      fc.property(anyPublic, area => {
        expect(decodePublic(encodePublic(area))).toEqual(area)
      }),
    )
  })

  it('are one spelling each: a flipped bit is refused or another public area', () => {
    fc.assert(
      fc.property(anyPublic, fc.nat(), (area, position) => {
        const encoded = encodePublic(area)
        const bit = position % (encoded.length * 8)
        encoded[bit >> 3] = (encoded[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        let decoded: TpmtPublic | undefined
        try {
          decoded = decodePublic(encoded)
        } catch (error) {
          expect(error).toBeInstanceOf(TpmWireError)
        }
        if (decoded !== undefined) expect(encodePublic(decoded)).toEqual(encoded)
      }),
      { numRuns: 1000 },
    )
  })

  it('of noise are refused with a code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), noise => {
        expect(() => decodePublic(noise)).toThrow(TpmWireError)
      }),
    )
  })
})

describe('PCR selections', () => {
  const indices = fc
    .uniqueArray(fc.integer({ min: 0, max: 23 }), { minLength: 1 })
    .map(list => list.toSorted((one, other) => one - other))

  it('come out as they went in', () => {
    fc.assert(
      fc.property(indices, list => {
        expect(readAll(encodePcrSelection(list), readPcrSelection)).toEqual(list)
      }),
    )
  })

  it('that do not ascend within 0 to 23 are refused', () => {
    for (const list of [[], [1, 1], [2, 1], [24], [-1], [1.5]]) {
      expect(() => encodePcrSelection(list)).toThrow(expect.objectContaining({ code: 'TPM_WIRE_RANGE' }) as Error)
    }
    expect(() => pcrDigest([{ index: 1, value: new Uint8Array(31) }])).toThrow(TpmWireError)
  })
})

describe('numbers and sized fields', () => {
  it('come out as they went in, and not when they do not fit', () => {
    fc.assert(
      fc.property(
        fc.nat(0xff),
        fc.nat(0xffff),
        fc.nat(0x7fff_ffff),
        fc.uint8Array({ maxLength: 300 }),
        (a, b, c, d) => {
          expect(new TpmReader(u8(a)).u8()).toBe(a)
          expect(new TpmReader(u16(b)).u16()).toBe(b)
          expect(new TpmReader(u32(c)).u32()).toBe(c)
          expect(readAll(sized(d), reader => reader.sized(300))).toEqual(d)
        },
      ),
    )
    for (const value of [-1, 0.5, 0x1_0000, NaN]) expect(() => u16(value)).toThrow(TpmWireError)
    expect(() => new TpmReader(sized(new Uint8Array(9))).sized(8)).toThrow(
      expect.objectContaining({ code: 'TPM_WIRE_RANGE' }) as Error,
    )
  })
})

describe('parameter encryption', () => {
  it('comes out as it went in', () => {
    fc.assert(
      fc.property(bytes32, bytes32, bytes32, fc.uint8Array({ maxLength: 200 }), (key, newer, older, plain) => {
        const nonces = { newer, older }
        expect(decryptParameter(key, nonces, encryptParameter(key, nonces, plain))).toEqual(plain)
      }),
    )
  })
})

describe('small arithmetic', () => {
  it('takes trailing zeros off auth values, and no others', () => {
    expect(trimAuthValue(Uint8Array.of(0, 1, 0, 2, 0, 0))).toEqual(Uint8Array.of(0, 1, 0, 2))
    expect(trimAuthValue(new Uint8Array(4))).toHaveLength(0)
  })

  it('compares HMACs', () => {
    expect(isSameHmac(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true)
    expect(isSameHmac(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
    expect(isSameHmac(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false)
  })

  it('seals 1 to 128 bytes', () => {
    expect(encodeSensitiveCreate(new Uint8Array(0), new Uint8Array(128))).toHaveLength(132)
    for (const length of [0, 129]) {
      expect(() => encodeSensitiveCreate(new Uint8Array(0), new Uint8Array(length))).toThrow(TpmWireError)
    }
  })

  it('writes signatures of 64 bytes and no others', () => {
    expect(encodeEcdsaSignature(new Uint8Array(64))).toHaveLength(72)
    expect(() => encodeEcdsaSignature(new Uint8Array(63))).toThrow(TpmWireError)
  })
})

describe('an import blob', () => {
  const target = createECDH('prime256v1')
  target.generateKeys()
  const publicKey = new Uint8Array(target.getPublicKey())
  const storageKey = { ...STORAGE_KEY_TEMPLATE, unique: { x: publicKey.slice(1, 33), y: publicKey.slice(33) } }
  const data = Uint8Array.from(randomBytes(32))
  const empty = new Uint8Array(0)
  const input = { storageKey, authPolicy: empty, hasPin: false, authValue: empty, data, randomBytes }

  it('can be undone by the holder of the storage key, step by step as Part 1, clause 23.3 says', () => {
    const blob = createImportBlob(input)
    const ephemeral = readAll(blob.encryptedSeed, reader => ({
      x: reader.sizedExactly(32),
      y: reader.sizedExactly(32),
    }))
    const z = target.computeSecret(Uint8Array.of(4, ...ephemeral.x, ...ephemeral.y))
    const seed = kdfE(z, 'DUPLICATE', ephemeral.x, storageKey.unique.x, 256)
    const name = objectName(blob.publicArea)
    const { integrity, encrypted } = readAll(blob.duplicate, reader => ({
      integrity: reader.sizedExactly(32),
      encrypted: reader.bytes(reader.remainingBytes),
    }))
    const hmac = createHmac('sha256', kdfA(seed, 'INTEGRITY', empty, empty, 256))
      .update(encrypted)
      .update(name)
      .digest()
    expect(new Uint8Array(hmac)).toEqual(integrity)
    const key = kdfA(seed, 'STORAGE', name, empty, 128)
    const plain = createDecipheriv('aes-128-cfb', key, new Uint8Array(16)).update(encrypted)
    expect(Buffer.from(plain.subarray(-32)).equals(data)).toBe(true)
  })

  it('shows the data nowhere', () => {
    const blob = createImportBlob(input)
    const all = Buffer.concat([blob.publicArea, blob.duplicate, blob.encryptedSeed])
    expect(all.includes(Buffer.from(data))).toBe(false)
  })

  it('is not made for a key that is no storage key', () => {
    const signer = policySignerPublic(storageKey.unique)
    for (const wrong of [signer, STORAGE_KEY_TEMPLATE, { ...storageKey, attributes: 0 }]) {
      expect(() => createImportBlob({ ...input, storageKey: wrong })).toThrow(
        expect.objectContaining({ code: 'TPM_WIRE_RANGE' }) as Error,
      )
    }
  })

  it('has neither fixedTPM nor fixedParent, since it came from outside', () => {
    expect(sealedTemplate({ method: 'imported', authPolicy: empty, hasPin: false }).attributes).toBe(0x440)
  })
})
