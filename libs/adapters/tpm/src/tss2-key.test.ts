import { execFileSync } from 'node:child_process'

import * as fc from 'fast-check'

import { TpmError } from './errors.ts'
import { type Tss2SealedKey, decodeTss2Key, decodeTss2Pem, encodeTss2Key, encodeTss2Pem } from './tss2-key.ts'

const plain: Tss2SealedKey = {
  emptyAuth: true,
  policy: [],
  secret: undefined,
  publicArea: Uint8Array.of(0, 2, 1, 2),
  privateArea: Uint8Array.of(0, 1, 3),
}

const policy = fc.record({
  commandCode: fc.integer({ min: 0, max: 0x7fff_ffff }),
  commandPolicy: fc.uint8Array({ maxLength: 100 }),
})
const anyKey: fc.Arbitrary<Tss2SealedKey> = fc.record({
  emptyAuth: fc.boolean(),
  policy: fc.array(policy, { maxLength: 3 }),
  secret: fc.option(fc.uint8Array({ maxLength: 80 }), { nil: undefined }),
  publicArea: fc.uint8Array({ maxLength: 300 }),
  privateArea: fc.uint8Array({ maxLength: 300 }),
})

function tryDecode(der: Uint8Array): Tss2SealedKey | undefined {
  try {
    return decodeTss2Key(der)
  } catch (error) {
    if (error instanceof TpmError && error.code === 'TPM_BLOB_MALFORMED') return undefined
    throw error
  }
}

describe('a TSS2 PRIVATE KEY', () => {
  it('comes out of DER and PEM as it went in', () => {
    fc.assert(
      fc.property(anyKey, key => {
        expect(decodeTss2Key(encodeTss2Key(key))).toEqual(key)
        expect(decodeTss2Pem(encodeTss2Pem(key))).toEqual(key)
      }),
    )
  })

  it('has the DER of the draft', () => {
    // SEQUENCE { OID 2.23.133.10.1.5, [0] { TRUE }, 0x40000001, OCTET STRING, OCTET STRING }
    const expected =
      '301e' +
      '0606' +
      '6781050a0105' +
      'a003' +
      '0101ff' +
      '0204' +
      '40000001' +
      '0404' +
      '00020102' +
      '0403' +
      '000103'
    expect(Buffer.from(encodeTss2Key(plain)).toString('hex')).toBe(expected)
  })

  it('is read by OpenSSL', () => {
    const shown = execFileSync('openssl', ['asn1parse'], { input: encodeTss2Pem(plain), encoding: 'utf8' })
    expect(shown).toContain('2.23.133.10.1.5')
    expect(shown).toContain('40000001')
  })

  it('is refused at every truncation, and with bytes behind it', () => {
    const der = encodeTss2Key({ ...plain, policy: [{ commandCode: 0x17f, commandPolicy: Uint8Array.of(1) }] })
    for (let length = 0; length < der.length; length++) expect(tryDecode(der.subarray(0, length))).toBeUndefined()
    expect(tryDecode(Uint8Array.from([...der, 0]))).toBeUndefined()
  })

  it('has one spelling: a flipped bit is refused or gives another key', () => {
    fc.assert(
      fc.property(anyKey, fc.nat(), (key, position) => {
        const der = encodeTss2Key(key)
        const bit = position % (der.length * 8)
        der[bit >> 3] = (der[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const decoded = tryDecode(der)
        if (decoded !== undefined) expect(decoded).not.toEqual(key)
      }),
      { numRuns: 1000 },
    )
  })

  it.each([
    ['another type', '301e06066781050a0103a0030101ff020440000001040400020102040300 0103'],
    ['emptyAuth of 01 instead of ff', '301e060667810 50a0105a003010101020440000001040400020102040300 0103'],
    [
      'emptyAuth false, which is written by leaving it out',
      '301e06066781050a0105a003010100020440000001040400020102040300 0103',
    ],
    ['another parent', '301e06066781050a0105a0030101ff020440000007040400020102040300 0103'],
    ['a length in long form', '30811e06066781050a0105a0030101ff0204400000010404000201020403000103'],
    ['an unknown field', '302306066781050a0105a0030101ffa5030101ff0204400000010404000201020403000103'],
    ['nothing', ''],
  ])('is refused with %s', (_, hex) => {
    expect(tryDecode(Buffer.from(hex.replaceAll(' ', ''), 'hex'))).toBeUndefined()
  })

  it.each([
    ['text before it', 'x\n' + encodeTss2Pem(plain)],
    ['two of it', encodeTss2Pem(plain) + encodeTss2Pem(plain)],
    ['another label', encodeTss2Pem(plain).replaceAll('TSS2', 'RSA')],
    ['base64 cut short', encodeTss2Pem(plain).replace('=', '')],
  ])('is refused as PEM with %s', (_, pem) => {
    expect(() => decodeTss2Pem(pem)).toThrow(expect.objectContaining({ code: 'TPM_BLOB_MALFORMED' }) as Error)
  })
})
