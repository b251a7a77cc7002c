import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { decodePcrPolicies, encodePcrPolicies, MAX_PCR_POLICIES_BYTES } from './codec.ts'
import { PcrPoliciesError } from './errors.ts'
import { type PcrPolicy, predictPolicy } from './policy.ts'
import { isSignedBy, signPolicy } from './sign.ts'

const signer = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const LAST_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

const predicted = fc
  .record({
    label: fc.stringMatching(/^[!-~]([ -~]{0,62}[!-~])?$/),
    reference: fc.stringMatching(/^[A-Za-z0-9._-]{1,32}$/),
    values: fc.uniqueArray(fc.record({ index: fc.nat(23), value: fc.uint8Array({ minLength: 32, maxLength: 32 }) }), {
      minLength: 1,
      maxLength: 24,
      selector: ({ index }) => index,
    }),
    createdAtMs: fc.nat(LAST_TIME_MS),
  })
  .map(predictPolicy)

function refusal(bytes: Uint8Array): string {
  try {
    decodePcrPolicies(bytes)
    return 'accepted'
  } catch (error) {
    if (error instanceof PcrPoliciesError) return error.code
    throw error
  }
}

describe('a policies file', () => {
  const policy = predictPolicy({
    label: 'now',
    reference: 'v1',
    values: [{ index: 7, value: new Uint8Array(32).fill(7) }],
    createdAtMs: 1,
  })
  const bytes = encodePcrPolicies([signPolicy(policy, signer.privateKey)])

  it('comes back as it was written, whatever is in it', () => {
    const anyPolicies = fc.uniqueArray(predicted, { maxLength: 8, selector: ({ reference }) => reference })
    fc.assert(
      fc.property(anyPolicies, fc.array(fc.boolean()), (policies, flags) => {
        const mixed = policies.map((each, index): PcrPolicy =>
          flags[index] === true ? signPolicy(each, signer.privateKey) : each,
        )
        expect(decodePcrPolicies(encodePcrPolicies(mixed))).toEqual(mixed)
      }),
      { numRuns: 50 },
    )
  })

  it('is refused when it is cut anywhere', () => {
    for (let length = 0; length < bytes.byteLength; length += 1) {
      expect(refusal(bytes.subarray(0, length))).toBe('PCR_POLICIES_MALFORMED')
    }
  })

  it('gives no policy that its signer approved when any bit is flipped, but for what nobody signs', () => {
    const unsigned: string[] = []
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      if (refusal(flipped) !== 'accepted') continue
      const [changed] = decodePcrPolicies(flipped)
      if (changed?.state !== 'signed' || !isSignedBy(changed, signer.publicKey)) continue
      unsigned.push(changed.label === policy.label ? 'created' : 'label')
    }
    expect(new Set(unsigned)).toEqual(new Set(['created', 'label']))
  })

  it('throws nothing but its own error, whatever bytes it is made of', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map(text => Buffer.from(text)),
        ),
        any => {
          expect(refusal(any)).toBe('PCR_POLICIES_MALFORMED')
        },
      ),
    )
  })

  it('holds so many policies of all PCRs', () => {
    const values = Array.from({ length: 24 }, (_, index) => ({ index, value: new Uint8Array(32) }))
    const many = Array.from({ length: 64 }, (_, index) => {
      const reference = `v${index}`.padEnd(32, '.')
      return signPolicy(predictPolicy({ label: '"'.repeat(64), reference, values, createdAtMs: 0 }), signer.privateKey)
    })
    const largest = encodePcrPolicies(many)
    expect(largest.byteLength).toBeLessThan(MAX_PCR_POLICIES_BYTES)
    expect(decodePcrPolicies(largest)).toHaveLength(64)
    expect(() => encodePcrPolicies([...many, policy])).toThrow(
      expect.objectContaining({ code: 'PCR_POLICIES_TOO_LARGE' }) as Error,
    )
    expect(refusal(new Uint8Array(MAX_PCR_POLICIES_BYTES + 1))).toBe('PCR_POLICIES_TOO_LARGE')
  })

  it('holds no two policies for one state and reference', () => {
    expect(() => encodePcrPolicies([policy, signPolicy(policy, signer.privateKey)])).toThrow(
      expect.objectContaining({ code: 'PCR_POLICIES_DUPLICATE' }) as Error,
    )
  })
})
