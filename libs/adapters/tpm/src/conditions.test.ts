import { generateKeyPairSync, randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { STORAGE_KEY_TEMPLATE } from '@sealwright/tpm-wire'

import { type ConditionsComparison, type ConfiguredConditions, compareConditions, conditionsOf } from './conditions.ts'
import { type SealConditions, sealKekForRemote } from './seal.ts'
import { type SealPolicy, policySigner } from './seal-policy.ts'

const none: SealPolicy = { kind: 'none' }
const pcrs = (...list: readonly number[]): SealPolicy => ({ kind: 'pcr', pcrs: list })
const signerPoint = () => policySigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
const signedBy = (signer: ReturnType<typeof signerPoint>, policyRef = 'v1'): SealPolicy => ({
  kind: 'authorized',
  signer,
  policyRef: new Uint8Array(Buffer.from(policyRef)),
  pcrs: [],
})

const storageKey = { ...STORAGE_KEY_TEMPLATE, unique: signerPoint() }
const signer = signerPoint()

/** A container with these conditions, made without a TPM. */
function containerWith({ policy, hasPin }: ConfiguredConditions): Uint8Array {
  const conditions: SealConditions = {
    policy,
    ...(hasPin ? { pin: new Secret(Uint8Array.from(Buffer.from('1234'))) } : {}),
  }
  const pcrValues = policy.kind === 'none' ? [] : policy.pcrs.map(index => ({ index, value: new Uint8Array(32) }))
  const kek = new Secret(Uint8Array.from(randomBytes(32)))
  const remote = { storageKey, endorsementKeyName: undefined }
  return sealKekForRemote(remote, { ...conditions, pcrValues }, kek, randomBytes)
}

describe('the conditions of a container', () => {
  it('are read from what its TPM enforces', () => {
    expect(conditionsOf(containerWith({ policy: none, hasPin: false }))).toEqual({
      kind: 'imported',
      hasPin: false,
      state: { kind: 'none' },
    })
    expect(conditionsOf(containerWith({ policy: pcrs(7, 16), hasPin: true }))).toEqual({
      kind: 'imported',
      hasPin: true,
      state: { kind: 'pcr', pcrs: [7, 16] },
    })
    expect(conditionsOf(containerWith({ policy: signedBy(signer), hasPin: false }))).toMatchObject({
      state: { kind: 'authorized', policyRef: new Uint8Array(Buffer.from('v1')) },
    })
  })

  it.each<[string, ConditionsComparison, ConfiguredConditions, ConfiguredConditions]>([
    ['none at all on both sides', 'same', { policy: none, hasPin: false }, { policy: none, hasPin: false }],
    ['the same list and a PIN', 'same', { policy: pcrs(7), hasPin: true }, { policy: pcrs(7), hasPin: true }],
    ['no PIN', 'weaker', { policy: none, hasPin: false }, { policy: none, hasPin: true }],
    ['no PIN, but PCRs', 'weaker', { policy: pcrs(7), hasPin: false }, { policy: none, hasPin: true }],
    ['no PCRs', 'weaker', { policy: none, hasPin: true }, { policy: pcrs(7), hasPin: true }],
    ['fewer PCRs', 'weaker', { policy: pcrs(7), hasPin: false }, { policy: pcrs(7, 16), hasPin: false }],
    ['other PCRs', 'weaker', { policy: pcrs(7, 8), hasPin: false }, { policy: pcrs(7, 16), hasPin: false }],
    ['a signed policy', 'weaker', { policy: signedBy(signer), hasPin: false }, { policy: pcrs(7), hasPin: false }],
    ['more PCRs', 'stronger', { policy: pcrs(7, 16), hasPin: false }, { policy: pcrs(7), hasPin: false }],
    ['a PIN', 'stronger', { policy: pcrs(7), hasPin: true }, { policy: pcrs(7), hasPin: false }],
    ['PCRs nobody asks for', 'stronger', { policy: pcrs(7), hasPin: false }, { policy: none, hasPin: false }],
    [
      'the same signer',
      'same',
      { policy: signedBy(signer), hasPin: false },
      { policy: signedBy(signer), hasPin: false },
    ],
    [
      'another signer',
      'weaker',
      { policy: signedBy(signerPoint()), hasPin: false },
      { policy: signedBy(signer), hasPin: false },
    ],
    [
      'another version of the signed policy',
      'weaker',
      { policy: signedBy(signer, 'v0'), hasPin: false },
      { policy: signedBy(signer), hasPin: false },
    ],
  ])('compare with those that are configured: %s is %s', (_, comparison, recorded, configured) => {
    expect(compareConditions(containerWith(recorded), configured)).toBe(comparison)
  })
})
