import { type ExpectedTpm } from '@sealwright/tpm'
import { namedTpm, namedTpms, recognisedTpm } from './recognised-tpm.ts'

/** Names as short as can be told apart. */
const tpm = (storage: number, endorsement?: number): ExpectedTpm => ({
  storageKeyName: Uint8Array.of(storage),
  endorsementKeyName: endorsement === undefined ? undefined : Uint8Array.of(endorsement),
})

const failure = (code: string, message: RegExp): Error =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as unknown }) as Error

describe('the TPM that answers', () => {
  it('is recognised by its storage key', () => {
    const enrolled = [tpm(1, 11), tpm(2, 12), tpm(3)]
    expect(recognisedTpm(enrolled, tpm(2, 12))).toBe(enrolled[1])
    expect(recognisedTpm(enrolled, tpm(3, 13))).toBe(enrolled[2])
  })

  it('was cleared if it still has an endorsement key that is known', () => {
    expect(() => recognisedTpm([tpm(1, 11), tpm(2, 12)], tpm(9, 12))).toThrow(
      failure('TPM_CLEARED', /was cleared .*bootstrap-init with the seal key and --new-tpm/),
    )
  })

  it('is another one if nothing of it is known', () => {
    expect(() => recognisedTpm([tpm(1, 11), tpm(2)], tpm(9, 19))).toThrow(
      failure('TPM_REPLACED', /none of the 2 TPMs .* records for: put the old one back.* and --new-tpm/),
    )
    expect(() => recognisedTpm([tpm(1, 11)], tpm(9, 19))).toThrow(
      failure('TPM_REPLACED', /not the TPM that the keyring/),
    )
  })

  it('may be either where no endorsement key tells', () => {
    expect(() => recognisedTpm([tpm(1, 11), tpm(2)], tpm(9))).toThrow(
      failure('TPM_REPLACED', /or it is, and was cleared/),
    )
  })
})

describe('the TPM that the configuration names', () => {
  it('is the only one that may answer at the first meeting', () => {
    expect(namedTpm(tpm(1), '01')).toEqual(tpm(1))
    expect(namedTpm(tpm(1), undefined)).toEqual(tpm(1))
    expect(() => namedTpm(tpm(2), '01')).toThrow(failure('TPM_NAME_MISMATCH', /has the storage key 02, .* names 01/))
  })

  it('is the only one whose record is used', () => {
    expect(namedTpms([tpm(1), tpm(2)], '02')).toEqual([tpm(2)])
    expect(namedTpms([tpm(1), tpm(2)], undefined)).toHaveLength(2)
    expect(() => namedTpms([tpm(1), tpm(2)], '03')).toThrow(
      failure('TPM_NAME_MISMATCH', /configuration names, 03, but for 01, 02: .*the TPM was not asked/),
    )
  })
})
