import { toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { decodeKeyring, encodeKeyring } from './codec.ts'
import { KeyringError } from './keyring-error.ts'
import { codeNow, variedKeyring } from './testing/samples.ts'

describe('an encoded keyring', () => {
  it('decodes to a value with the same encoding', async () => {
    const keyring = await variedKeyring()
    expect(decodeKeyring(encodeKeyring(keyring))).toEqual(keyring)
  })

  it('does not change when the bytes that it was read from do', async () => {
    const bytes = encodeKeyring(await variedKeyring())
    const keyring = decodeKeyring(bytes)
    const before = toHex(encodeKeyring(keyring))
    bytes.fill(0)
    expect(toHex(encodeKeyring(keyring))).toBe(before)
  })

  it('is refused when cut off anywhere', async () => {
    const bytes = encodeKeyring(await variedKeyring())
    for (let byteLength = 0; byteLength < bytes.byteLength; byteLength += 1) {
      expect(codeNow(() => decodeKeyring(bytes.subarray(0, byteLength)))).toBe('KEYRING_MALFORMED')
    }
  })

  it('is refused with anything behind it', async () => {
    const bytes = encodeKeyring(await variedKeyring())
    expect(codeNow(() => decodeKeyring(Uint8Array.of(...bytes, 0)))).toBe('KEYRING_MALFORMED')
  })

  it('never makes the decoder fail in any other way, whatever the bytes', async () => {
    const bytes = encodeKeyring(await variedKeyring())
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
    const bytes = encodeKeyring(await variedKeyring())
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

  it('has a MAC of 32 bytes', async () => {
    const keyring = await variedKeyring()
    expect(codeNow(() => encodeKeyring({ ...keyring, mac: new Uint8Array(31) }))).toBe('KEYRING_MALFORMED')
  })
})
