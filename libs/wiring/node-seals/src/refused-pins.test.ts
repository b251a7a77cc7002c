import { type SealMember } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { TpmError } from '@sealwright/tpm'
import { refusedPins } from './refused-pins.ts'

const { signal } = new AbortController()
const wrong = new TpmError('TPM_PIN_WRONG', 'refused')
const kek = Uint8Array.of(1)
let failure: Error | undefined
let asked: number
let told: readonly unknown[]

beforeEach(() => {
  failure = wrong
  asked = 0
  told = []
})

function guarded() {
  const pins = refusedPins((sealName, error) => {
    told = [...told, sealName, error]
  })
  const unsealKek: SealMember['unsealKek'] = () => {
    asked += 1
    return failure === undefined ? Promise.resolve(new Secret(new Uint8Array(32))) : Promise.reject(failure)
  }
  const guarding = pins.guard('tpm', {
    ...{ sealType: 'tpm', method: 'tpm-sealed', memberId: new Uint8Array(16), unsealKek },
    sealKek: () => Promise.reject(new Error('it is only asked to open')),
  })
  return { pins, open: (sealedKek: Uint8Array) => guarding.unsealKek(sealedKek, { signal, method: 'tpm-sealed' }) }
}

describe('a record for which the PIN was refused', () => {
  it('costs no second try, and fails as it did; told once', async () => {
    const { open } = guarded()
    for (let times = 0; times < 3; times += 1) await expect(open(kek)).rejects.toBe(wrong)
    expect([asked, told]).toEqual([1, ['tpm', wrong]])
  })

  it('is asked for again after a reload', async () => {
    const { open, pins } = guarded()
    await expect(open(kek)).rejects.toBe(wrong)
    pins.forget()
    failure = undefined
    using opened = await open(kek)
    expect([asked, opened.reveal(({ byteLength }) => byteLength)]).toEqual([2, 32])
  })

  it('says nothing of another one', async () => {
    const { open } = guarded()
    await expect(open(kek)).rejects.toBe(wrong)
    await expect(open(Uint8Array.of(2))).rejects.toBe(wrong)
    expect(asked).toBe(2)
  })

  it('is forgotten as the oldest of many', async () => {
    const { open } = guarded()
    for (let number = 0; number <= 256; number += 1)
      await expect(open(Uint8Array.of(number >> 8, number))).rejects.toBe(wrong)
    await expect(open(Uint8Array.of(0, 1))).rejects.toBe(wrong)
    expect(asked).toBe(257)
    await expect(open(Uint8Array.of(0, 0))).rejects.toBe(wrong)
    expect(asked).toBe(258)
  })

  it.each([
    new TpmError('TPM_PCR_MISMATCH', 'another state'),
    new TpmError('TPM_POLICY_WEAKER', 'no PIN was sent'),
    new TpmError('TPM_PIN_REQUIRED', 'there is none'),
    new TpmError('TPM_PIN_HELD_BACK', 'near the lockout'),
  ])('is another thing than one that failed as $code', async error => {
    failure = error
    const { open } = guarded()
    for (let times = 0; times < 2; times += 1) await expect(open(kek)).rejects.toBe(error)
    expect([asked, told]).toEqual([2, []])
  })
})
