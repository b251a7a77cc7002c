import { createDecipheriv, randomBytes } from 'node:crypto'
import { readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'
import { sealedKekAssociatedData } from './associated-data.ts'
import { MAX_CIPHERTEXT_BYTES, parseCiphertext } from './ciphertext.ts'
import { TransitError } from './error.ts'
import { transitMemberId } from './identity.ts'
import { decodeTransitSealedKek, encodeTransitSealedKek, type TransitSealedKek } from './sealed-kek.ts'

const FOLDER = 'transit-sealed-kek'

/** What comes of a container: it again, or the code. */
function outcome(bytes: Uint8Array): string {
  try {
    return toHex(encodeTransitSealedKek(decodeTransitSealedKek(bytes)))
  } catch (error) {
    if (error instanceof TransitError) return error.code
    throw error
  }
}

function ciphertextOf(version: number, payload: Uint8Array): TransitSealedKek['ciphertext'] {
  return { text: `vault:v${version}:${Buffer.from(payload).toString('base64')}`, keyVersion: version }
}

const sealedKeks = fc.record({
  memberId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  ciphertext: fc
    .tuple(fc.integer({ min: 1, max: 0xffff_ffff }), fc.uint8Array({ minLength: 1, maxLength: 360 }))
    .map(([version, payload]) => ciphertextOf(version, payload)),
})

describe('the container', () => {
  const fields = { sealedKek: 'hex', memberId: 'hex', keyVersion: 'number', ciphertext: 'text' } as const

  it.each(readVectors(FOLDER, 'containers.json', fields))('is written and read alike: $name', vector => {
    const { sealedKek, memberId, keyVersion, ciphertext: text } = vector
    expect(toHex(encodeTransitSealedKek({ memberId, ciphertext: { text, keyVersion } }))).toBe(toHex(sealedKek))
    const read = decodeTransitSealedKek(sealedKek)
    expect(toHex(read.memberId)).toBe(toHex(memberId))
    expect(read.ciphertext).toEqual({ text, keyVersion })
  })

  it.each(readVectors(FOLDER, 'refused.json', { sealedKek: 'hex' }))('is refused: $name', ({ sealedKek }) => {
    expect(outcome(sealedKek)).toBe('TRANSIT_BLOB_MALFORMED')
  })

  it('is read as it was written, whatever is in it', () => {
    fc.assert(
      fc.property(sealedKeks, sealed => {
        const read = decodeTransitSealedKek(encodeTransitSealedKek(sealed))
        expect(toHex(read.memberId)).toBe(toHex(sealed.memberId))
        expect(read.ciphertext).toEqual(sealed.ciphertext)
      }),
    )
  })

  it('is read from the middle of other bytes, and what was read does not change with them', () => {
    const sealed = encodeTransitSealedKek({
      memberId: new Uint8Array(16),
      ciphertext: ciphertextOf(1, randomBytes(60)),
    })
    const around = Buffer.concat([Buffer.alloc(3), sealed, Buffer.alloc(3)])
    const read = decodeTransitSealedKek(around.subarray(3, 3 + sealed.byteLength))
    around.fill(0xff)
    expect(toHex(encodeTransitSealedKek(read))).toBe(toHex(sealed))
  })

  it('has one spelling: what is read at all is what would be written', () => {
    const changed = sealedKeks.chain(sealed => {
      const bytes = encodeTransitSealedKek(sealed)
      return fc
        .tuple(fc.nat(bytes.byteLength - 1), fc.nat(255))
        .map(([at, byte]) => Uint8Array.from(bytes, (old, index) => (index === at ? byte : old)))
    })
    fc.assert(
      fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 100 })), bytes => {
        expect([toHex(bytes), 'TRANSIT_BLOB_MALFORMED']).toContain(outcome(bytes))
      }),
    )
  })

  it('is refused when it ends anywhere before its end', () => {
    const bytes = encodeTransitSealedKek({ memberId: new Uint8Array(16), ciphertext: ciphertextOf(3, randomBytes(60)) })
    for (let length = 0; length < bytes.byteLength; length += 1) {
      expect(outcome(bytes.subarray(0, length))).toBe('TRANSIT_BLOB_MALFORMED')
    }
  })

  it('with one changed bit is refused, or is another member or ciphertext, which the key refuses', () => {
    const sealed = { memberId: Uint8Array.from(randomBytes(16)), ciphertext: ciphertextOf(3, randomBytes(60)) }
    const bytes = encodeTransitSealedKek(sealed)
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      if (outcome(flipped) === 'TRANSIT_BLOB_MALFORMED') continue
      const read = decodeTransitSealedKek(flipped)
      const isSame = toHex(read.memberId) === toHex(sealed.memberId) && read.ciphertext.text === sealed.ciphertext.text
      expect(isSame).toBe(false)
    }
  })

  it('is not written for what could not be read back', () => {
    const memberId = new Uint8Array(16)
    const good = ciphertextOf(1, randomBytes(60))
    const bad: readonly TransitSealedKek[] = [
      { memberId: new Uint8Array(15), ciphertext: good },
      { memberId, ciphertext: { ...good, keyVersion: 2 } },
      { memberId, ciphertext: { text: 'vault:v1:', keyVersion: 1 } },
      { memberId, ciphertext: ciphertextOf(1, new Uint8Array(MAX_CIPHERTEXT_BYTES)) },
    ]
    for (const sealed of bad) {
      expect(() => encodeTransitSealedKek(sealed)).toThrow(
        expect.objectContaining({ code: 'TRANSIT_OPTIONS_INVALID' }) as Error,
      )
    }
  })
})

describe('a ciphertext of OpenBao', () => {
  const fields = {
    type: 'text',
    key: 'hex',
    memberId: 'hex',
    keyVersion: 'number',
    associatedData: 'hex',
    kek: 'hex',
    sealedKek: 'hex',
  } as const
  const vectors = readVectors(FOLDER, 'opened.json', fields)

  it.each(vectors)('is bound to its member: $name', ({ memberId, associatedData, sealedKek, keyVersion }) => {
    expect(toHex(sealedKekAssociatedData(memberId))).toBe(toHex(associatedData))
    const { ciphertext } = decodeTransitSealedKek(sealedKek)
    expect(ciphertext.keyVersion).toBe(keyVersion)
  })

  // Node has no XChaCha20.
  it.each(vectors.filter(({ type }) => !type.startsWith('x')))(
    'opens without OpenBao, by whoever has its key: $name',
    ({ type, key, memberId, kek, sealedKek }) => {
      const payload = Buffer.from(decodeTransitSealedKek(sealedKek).ciphertext.text.replace(/^.*:/, ''), 'base64')
      const nonce = payload.subarray(0, 12)
      const open = (associatedData: Uint8Array): string => {
        const decipher =
          type === 'aes256-gcm96'
            ? createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 })
            : createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
        decipher.setAAD(associatedData, { plaintextLength: 32 })
        decipher.setAuthTag(payload.subarray(-16))
        return Buffer.concat([decipher.update(payload.subarray(12, -16)), decipher.final()]).toString('hex')
      }
      expect(open(sealedKekAssociatedData(memberId))).toBe(toHex(kek))
      expect(() => open(sealedKekAssociatedData(new Uint8Array(16)))).toThrow()
    },
  )

  it('is read in no other spelling', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...Array.from('vault:v10+/=AQ \n')) }), text => {
        const read = parseCiphertext(`vault:v1:${text}`)
        const isCanonical = text !== '' && Buffer.from(text, 'base64').toString('base64') === text
        expect(read?.text).toBe(isCanonical ? `vault:v1:${text}` : undefined)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('the suggested member id', () => {
  const fields = { clusterId: 'text', namespace: 'text', mountPath: 'text', keyName: 'text', memberId: 'hex' } as const

  it.each(readVectors(FOLDER, 'member-ids.json', fields))('follows from where the key is: $name', vector => {
    expect(toHex(transitMemberId(vector))).toBe(toHex(vector.memberId))
  })
})
