import { generateKeyPairSync } from 'node:crypto'
import { readReadmeExamples } from '@sealwright/testing-checks'
import { choosePolicy, decodePcrPolicies, encodePcrPolicies, policyRefOf, predictPolicy, signPolicy } from './index.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const values = [{ index: 7, value: new Uint8Array(32) }]

function example(): string {
  // README
  const predicted = predictPolicy({ label: 'firmware 1.21', reference: 'node-1.v1', values, createdAtMs: 0 })
  const file = encodePcrPolicies([signPolicy(predicted, privateKey)])
  const policies = decodePcrPolicies(file)
  const choice = choosePolicy({ policies, publicKey, policyRef: policyRefOf('node-1.v1'), current: values })
  const { kind } = choice // 'fits'
  // end
  return kind
}

describe('the example in the README', () => {
  it('does what it says', () => {
    expect(example()).toBe('fits')
  })

  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })
})
