import { decodeKeyring, encodeKeyring } from './codec.ts'
import { type KeyringErrorCode } from './keyring-error.ts'
import { type Keyring } from './keyring.ts'
import { openKeyring } from './open-keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begun, broken, codeNow, codeOf, pending, sealIdOf, signal } from './testing/samples.ts'

const member = fakeMember('a')

const ANY_REFUSAL: readonly KeyringErrorCode[] = [
  'KEYRING_AUTH_FAILED',
  'KEYRING_LINEAGE_FORGED',
  'KEYRING_MALFORMED',
  'KEYRING_NO_WAY_IN',
  'KEYRING_RECORD_AUTH_FAILED',
  'KEYRING_RECORD_DAMAGED',
  'KEYRING_TOO_LARGE',
  'KEYRING_UNSUPPORTED',
]

/** The codes that a flipped bit at this offset may give. */
function fieldCodes(offset: number, byteLength: number): readonly KeyringErrorCode[] {
  if (offset < 4) return ['KEYRING_MALFORMED'] // magic
  if (offset < 5) return ['KEYRING_MALFORMED', 'KEYRING_UNSUPPORTED'] // version
  if (offset < 21) return ['KEYRING_LINEAGE_FORGED'] // cluster id
  if (offset < 29) return ['KEYRING_AUTH_FAILED', 'KEYRING_MALFORMED'] // revision: another, too high for us, or 0
  return offset < byteLength - 32 ? ANY_REFUSAL : ['KEYRING_AUTH_FAILED'] // lists; MAC
}

/** The bytes with one bit flipped; each bit in turn, between two offsets. */
function* flips(bytes: Uint8Array, start = 0, end = bytes.byteLength) {
  for (let bit = start * 8; bit < end * 8; bit += 1) {
    const flipped = Uint8Array.from(bytes)
    const offset = Math.floor(bit / 8)
    flipped[offset] = (flipped[offset] ?? 0) ^ (1 << (bit % 8))
    yield { flipped, offset }
  }
}

/** Where the value stands in the encoding, once. */
function rangeOf(bytes: Uint8Array, value: Uint8Array | undefined): readonly [number, number] {
  if (value === undefined) throw new Error('nothing to look for')
  const start = Buffer.from(bytes).indexOf(value)
  expect(start).toBeGreaterThan(0)
  return [start, start + value.byteLength]
}

/** A break, a link and a generation that is pending: as little as can be, since each bit costs a reading and an opening. */
async function smallKeyring(): Promise<Keyring> {
  return pending(await broken(await begun(member), [member])).keyring
}

describe('a keyring with any single bit flipped', () => {
  it('is refused when it is read or when it is opened, with a code', async () => {
    const bytes = encodeKeyring(await smallKeyring())
    const sealId = sealIdOf(decodeKeyring(bytes))
    const codes = new Set<string>()
    for (const { flipped, offset } of flips(bytes)) {
      const code = await codeOf(() => openKeyring({ keyring: decodeKeyring(flipped), sealId, member, signal }))
      expect(fieldCodes(offset, bytes.byteLength)).toContain(code)
      codes.add(code)
    }
    expect([...codes].sort()).toEqual(ANY_REFUSAL.filter(code => code !== 'KEYRING_NO_WAY_IN'))
  })

  it('shows it before any member is asked, if it is in what was signed', async () => {
    const keyring = await smallKeyring()
    const bytes = encodeKeyring(keyring)
    for (const { signature, signingKey } of keyring.generations) {
      for (const value of [signature, signingKey]) {
        for (const { flipped } of flips(bytes, ...rangeOf(bytes, value))) {
          expect(codeNow(() => decodeKeyring(flipped))).toBe('KEYRING_LINEAGE_FORGED')
        }
      }
    }
  })

  it('shows it before any member is asked, if it is in a sealed KEK', async () => {
    const { keyring } = await begun(member)
    const bytes = encodeKeyring(keyring)
    for (const { flipped } of flips(bytes, ...rangeOf(bytes, keyring.records[0]?.sealedKek))) {
      expect(codeNow(() => decodeKeyring(flipped))).toBe('KEYRING_RECORD_DAMAGED')
    }
  })
})
