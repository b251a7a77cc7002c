import { toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { addGeneration } from './add-generation.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { KeyringError } from './keyring-error.ts'
import { type Keyring, MAX_KEYRING_BYTES } from './keyring.ts'
import { openKeyring } from './open-keyring.ts'
import { matchSealKey } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  codeNow,
  codeOf,
  keyringOf,
  recordFor,
  sealIdOf,
  sealKeyNamed,
  signal,
  surroundings,
  withRecord,
} from './testing/samples.ts'

const member = fakeMember('a')
const second = fakeMember('b', 'transit')

/** Two seals, two members, two generations and a link. */
async function sampleKeyring(): Promise<Keyring> {
  const first = await keyringOf(member, sealKeyNamed('first'))
  const transit = recordFor(second, { sealName: 'peer', method: 'transit', label: 'key' })
  const both = await withRecord(first, sealKeyNamed('first'), { ...transit, generation: 1 })
  const sealKeys = matchSealKey({ keyring: both, sealKey: sealKeyNamed('first') })
  const { keyring, sealKey } = addGeneration({ keyring: both, sealKeys, randomBytes: surroundings.randomBytes })
  sealKey.wipe()
  sealKeys.wipe()
  return keyring
}

const anyRefusal = [
  'KEYRING_AUTH_FAILED',
  'KEYRING_LINK_BROKEN',
  'KEYRING_MALFORMED',
  'KEYRING_NO_WAY_IN',
  'KEYRING_RECORD_AUTH_FAILED',
  'KEYRING_RECORD_DAMAGED',
  'KEYRING_TOO_LARGE',
  'KEYRING_UNSUPPORTED',
]

/** The codes that a flipped bit at this offset may give. */
function fieldCodes(offset: number, byteLength: number): readonly string[] {
  if (offset < 4) return ['KEYRING_MALFORMED'] // magic
  if (offset < 5) return ['KEYRING_MALFORMED', 'KEYRING_UNSUPPORTED'] // version
  if (offset < 21) return ['KEYRING_RECORD_AUTH_FAILED'] // cluster id
  if (offset < 29) return ['KEYRING_AUTH_FAILED', 'KEYRING_MALFORMED'] // revision: too high for us, or 0
  if (offset < 33) return ['KEYRING_AUTH_FAILED', 'KEYRING_MALFORMED'] // current generation: another, or none
  return offset < byteLength - 32 ? anyRefusal : ['KEYRING_AUTH_FAILED'] // lists; MAC
}

describe('an encoded keyring', () => {
  it('decodes to a value with the same encoding', async () => {
    const keyring = await sampleKeyring()
    expect(decodeKeyring(encodeKeyring(keyring))).toEqual(keyring)
  })

  it('does not change when the bytes that it was read from do', async () => {
    const bytes = encodeKeyring(await sampleKeyring())
    const keyring = decodeKeyring(bytes)
    const before = toHex(encodeKeyring(keyring))
    bytes.fill(0)
    expect(toHex(encodeKeyring(keyring))).toBe(before)
  })

  it('is refused when cut off anywhere', async () => {
    const bytes = encodeKeyring(await sampleKeyring())
    for (let byteLength = 0; byteLength < bytes.byteLength; byteLength += 1) {
      expect(codeNow(() => decodeKeyring(bytes.subarray(0, byteLength)))).toBe('KEYRING_MALFORMED')
    }
  })

  it('is refused with any single bit flipped, when read or when opened', async () => {
    const bytes = encodeKeyring(await sampleKeyring())
    const sealId = sealIdOf(decodeKeyring(bytes))
    const codes = new Set<string>()
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const changed = Uint8Array.from(bytes)
      const offset = Math.floor(bit / 8)
      changed[offset] = (changed[offset] ?? 0) ^ (1 << (bit % 8))
      const code = await codeOf(() => openKeyring({ keyring: decodeKeyring(changed), sealId, member, signal }))
      expect(fieldCodes(offset, bytes.byteLength)).toContain(code)
      codes.add(code)
    }
    expect([...codes].sort()).toEqual([
      'KEYRING_AUTH_FAILED',
      'KEYRING_LINK_BROKEN',
      'KEYRING_MALFORMED',
      'KEYRING_RECORD_AUTH_FAILED',
      'KEYRING_RECORD_DAMAGED',
      'KEYRING_TOO_LARGE',
      'KEYRING_UNSUPPORTED',
    ])
  })

  it('shows a flipped bit in a sealed KEK before the member is asked', async () => {
    const keyring = await keyringOf(member, sealKeyNamed('first'))
    const bytes = encodeKeyring(keyring)
    const sealedKek = keyring.records[0]?.sealedKek ?? new Uint8Array()
    const start = toHex(bytes).indexOf(toHex(sealedKek)) / 2
    for (let offset = start; offset < start + sealedKek.byteLength; offset += 1) {
      const changed = Uint8Array.from(bytes)
      changed[offset] = (changed[offset] ?? 0) ^ 1
      expect(codeNow(() => decodeKeyring(changed))).toBe('KEYRING_RECORD_DAMAGED')
    }
  })

  it('never makes the decoder fail in any other way, whatever the bytes', async () => {
    const bytes = encodeKeyring(await sampleKeyring())
    const edit = fc.tuple(fc.nat(bytes.byteLength - 1), fc.nat(255))
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 8 }), fc.nat(bytes.byteLength), (edits, byteLength) => {
        const changed = Uint8Array.from(bytes)
        for (const [offset, value] of edits) changed[offset] = value
        expect(codeNow(() => decodeKeyring(changed))).toMatch(/^(none|KEYRING_[A-Z_]+)$/)
        expect(codeNow(() => decodeKeyring(changed.subarray(byteLength)))).toMatch(/^(none|KEYRING_[A-Z_]+)$/)
      }),
      { numRuns: 2000 },
    )
  })

  it('has exactly one form: what decodes encodes to the same bytes', async () => {
    const bytes = encodeKeyring(await sampleKeyring())
    fc.assert(
      fc.property(fc.nat(bytes.byteLength - 1), fc.nat(255), (offset, value) => {
        const changed = Uint8Array.from(bytes)
        changed[offset] = value
        try {
          expect(toHex(encodeKeyring(decodeKeyring(changed)))).toBe(toHex(changed))
        } catch (error) {
          if (!(error instanceof KeyringError)) throw error
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('the size of a keyring', () => {
  it('may not exceed 512 KiB, read or written', async () => {
    expect(codeNow(() => decodeKeyring(new Uint8Array(MAX_KEYRING_BYTES + 1)))).toBe('KEYRING_TOO_LARGE')
    const keyring = await keyringOf(member, sealKeyNamed('first'))
    const [listed] = keyring.members
    if (listed === undefined) throw new Error('no member')
    const members = Array.from({ length: 70 }, (_, index) => ({
      ...listed,
      memberId: Uint8Array.from(listed.memberId, (byte, place) => (place === 0 ? index : byte)),
      data: new Uint8Array(8_192),
    }))
    const own = members.filter(({ memberId }) => memberId[0] !== listed.memberId[0])
    const sorted = [...own, listed].sort((a, b) => Buffer.compare(a.memberId, b.memberId))
    expect(codeNow(() => encodeKeyring({ ...keyring, members: sorted }))).toBe('KEYRING_TOO_LARGE')
  })

  it('leaves room for 100 nodes, each in four seals, in two generations', async () => {
    const tpmBlobBytes = 300
    const keyring = await sampleKeyring()
    const tpm = keyring.seals.find(({ sealType }) => sealType === 'tpm')
    const [listed] = keyring.members
    const template = keyring.records.find(({ method }) => method === 'tpm-sealed')
    if (tpm === undefined || listed === undefined || template === undefined) throw new Error('no TPM')
    const { sealId } = tpm
    const growth = tpmBlobBytes - template.sealedKek.byteLength
    const ids = Array.from({ length: 400 }, (_, index) =>
      Uint8Array.from([index >> 8, index & 0xff, ...Buffer.alloc(14)]),
    )
    const members = ids.map(memberId => ({ ...listed, sealId, memberId, wrappingKey: new Uint8Array(90) }))
    const records = [1, 2].flatMap(generation => ids.map(memberId => ({ ...template, generation, memberId })))
    const encoded = encodeKeyring({ ...keyring, seals: [tpm], members, records })
    expect(encoded.byteLength + growth * records.length).toBeLessThan(MAX_KEYRING_BYTES)
  })

  it('has a MAC of 32 bytes', async () => {
    const keyring = await sampleKeyring()
    expect(codeNow(() => encodeKeyring({ ...keyring, mac: new Uint8Array(31) }))).toBe('KEYRING_MALFORMED')
  })
})
