import { encodeRotationVerification, parseRotationVerification } from './rotation-verification.ts'

const verification = {
  ...{ clusterId: 'production', etcds: [{ clusterId: 'cdf818194e3a8c32', endpoints: ['https://10.0.0.5:2379'] }] },
  ...{ verifiedAtMs: 1_700_000_000_000, keyIds: ['sealwright.v1.a', 'b'] },
}

function codeOf(text: string): unknown {
  try {
    parseRotationVerification(text)
  } catch (error) {
    return (error as { code: unknown }).code // every failure has one
  }
  return 'none'
}

describe('a verification of a rotation', () => {
  it('is read back as it was written', () => {
    expect(parseRotationVerification(encodeRotationVerification(verification))).toEqual(verification)
  })

  const written = JSON.parse(encodeRotationVerification(verification)) as Record<string, unknown>

  it.each([
    ['no JSON', '{'],
    ['another file', '{}'],
    ['one of a later format', JSON.stringify({ ...written, formatVersion: 2 })],
    ['one with a field that nobody knows', JSON.stringify({ ...written, more: 1 })],
    ['one without a cluster', JSON.stringify({ ...written, clusterId: '' })],
    ['one of no etcd', JSON.stringify({ ...written, etcds: [] })],
    ['one from before etcds were told apart', JSON.stringify({ ...written, etcds: undefined })],
    [
      'one of an etcd that nobody could find',
      JSON.stringify({ ...written, etcds: [{ clusterId: 'e', endpoints: [] }] }),
    ],
    ['one with a key id that is none', JSON.stringify({ ...written, keyIds: [1] })],
    ['one with a date that is none', JSON.stringify({ ...written, verifiedAtMs: 0.5 })],
    ['one with a date that is beyond all dates', JSON.stringify({ ...written, verifiedAtMs: 8.64e15 + 1 })],
  ])('is not %s', (_what, text) => {
    expect(codeOf(text)).toBe('KMS_KEYRING_NOT_VERIFIED')
  })
})
