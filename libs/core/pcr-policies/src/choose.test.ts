import { generateKeyPairSync } from 'node:crypto'
import { choosePolicy, pcrsOfPolicies } from './choose.ts'
import { addPolicies, retirePolicies } from './life.ts'
import {
  isForgeable,
  type PcrPolicy,
  policyRefOf,
  predictPolicy,
  type PredictedPolicy,
  type SignedPolicy,
} from './policy.ts'
import { isSignedBy, signPolicy } from './sign.ts'

const operator = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const stranger = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })

/** PCR 7, 11, … with values that are told apart by one byte. */
function values(...bytes: readonly number[]): PredictedPolicy['values'] {
  return bytes.map((byte, position) => ({ index: 7 + 4 * position, value: new Uint8Array(32).fill(byte) }))
}

function policy(label: string, bytes: readonly number[], reference = 'v1'): PredictedPolicy {
  return predictPolicy({ label, reference, values: values(...bytes), createdAtMs: 0 })
}

const approved = (label: string, bytes: readonly number[], reference = 'v1'): SignedPolicy =>
  signPolicy(policy(label, bytes, reference), operator.privateKey)
const forged = (label: string, bytes: readonly number[]): SignedPolicy =>
  signPolicy(policy(label, bytes), stranger.privateKey)

const choose = (policies: readonly PcrPolicy[], ...current: readonly number[]) =>
  choosePolicy({ policies, publicKey: operator.publicKey, policyRef: policyRefOf('v1'), current: values(...current) })

describe('the policy that a machine opens by', () => {
  it('is the approved one that its PCRs fit', () => {
    const policies = [approved('a', [1, 1]), approved('b', [1, 2]), approved('c', [1])]
    expect(choose(policies, 1, 2)).toEqual({ kind: 'fits', policy: policies[1] })
    expect(choose(policies, 1, 9)).toEqual({ kind: 'fits', policy: policies[2] })
    expect(pcrsOfPolicies(policies)).toEqual([7, 11])
  })

  it('is not hidden by a forged one', () => {
    expect(choose([forged('x', [1]), approved('a', [1, 1])], 1, 1)).toMatchObject({
      kind: 'fits',
      policy: { label: 'a' },
    })
  })

  it('is none that is forged, predicted or for another reference, and the difference is told', () => {
    expect(choose([forged('x', [1]), approved('a', [2])], 1)).toMatchObject({ kind: 'forged', policy: { label: 'x' } })
    expect(choose([policy('x', [1]), approved('a', [2])], 1)).toMatchObject({ kind: 'differs' })
    expect(choose([approved('x', [1], 'v2'), approved('a', [2])], 1)).toMatchObject({
      kind: 'other-reference',
      policy: { label: 'x' },
    })
    expect(choose([forged('x', [2])], 1)).toEqual({ kind: 'none' })
    expect(choose([], 1)).toEqual({ kind: 'none' })
  })

  it('is named by the nearest one when none fits, the newest among equals', () => {
    const policies = [approved('far', [1, 1, 1]), approved('near', [2, 2, 1]), approved('newer', [2, 1, 2])]
    expect(choose(policies, 2, 2, 2)).toEqual({
      kind: 'differs',
      nearest: policies[2],
      differences: [{ index: 11, expected: values(0, 1)[1]?.value, current: values(0, 2)[1]?.value }],
    })
    expect(choose([approved('a', [1, 1])], 1)).toMatchObject({ differences: [{ index: 11, current: undefined }] })
  })
})

describe('a policy', () => {
  it('is refused with values, a label or a reference that cannot be', () => {
    const good = { label: 'a', reference: 'v1', values: values(1), createdAtMs: 0 }
    for (const bad of [
      { label: '' },
      { label: 'a\u001b[2J' },
      { reference: 'ü' },
      { values: [] },
      { values: [{ index: 7, value: new Uint8Array(31) }] },
      { values: [{ index: 24, value: new Uint8Array(32) }] },
      { createdAtMs: -1 },
      { createdAtMs: Number.NaN },
    ]) {
      expect(() => predictPolicy({ ...good, ...bad })).toThrow(
        expect.objectContaining({ code: 'PCR_POLICIES_INPUT_INVALID' }) as Error,
      )
    }
  })

  it('keeps nobody out when any program can bring its PCRs about', () => {
    const of = (...indices: readonly number[]) => ({
      values: indices.map(index => ({ index, value: new Uint8Array(32) })),
    })
    expect([of(16), of(16, 23), of(7), of(7, 16)].map(isForgeable)).toEqual([true, true, false, false])
  })

  it('is signed for its values and its reference, by a P-256 key alone', () => {
    const signed = approved('a', [1])
    expect(isSignedBy(signed, operator.publicKey)).toBe(true)
    expect(isSignedBy({ ...signed, label: 'b' }, operator.publicKey)).toBe(true)
    expect(isSignedBy({ ...signed, reference: 'v2' }, operator.publicKey)).toBe(false)
    expect(isSignedBy({ ...signed, values: values(2) }, operator.publicKey)).toBe(false)
    expect(isSignedBy(signed, stranger.publicKey)).toBe(false)
    const ed25519 = generateKeyPairSync('ed25519')
    const refusal = expect.objectContaining({ code: 'PCR_POLICIES_KEY_REFUSED' }) as Error
    expect(() => signPolicy(signed, ed25519.privateKey)).toThrow(refusal)
    expect(() => isSignedBy(signed, ed25519.publicKey)).toThrow(refusal)
  })
})

describe('the life of policies', () => {
  const [old, booted, next] = [approved('old', [1]), approved('booted', [2]), approved('next', [3])]
  const labels = (policies: readonly PcrPolicy[]): readonly string[] => policies.map(({ label }) => label)

  it('adds at the end, and signs in place', () => {
    expect(labels(addPolicies([old], [booted, next]))).toEqual(['old', 'booted', 'next'])
    const predicted = policy('booted', [2])
    expect(addPolicies([predicted, next], [booted])).toEqual([booted, next])
  })

  it('retires what came before the one that was booted, and what comes after only when told', () => {
    const policies = [old, booted, next]
    expect(labels(retirePolicies({ policies, booted, dropPending: false }).kept)).toEqual(['booted', 'next'])
    const all = retirePolicies({ policies, booted, dropPending: true })
    expect([labels(all.kept), labels(all.dropped)]).toEqual([['booted'], ['old', 'next']])
  })
})
