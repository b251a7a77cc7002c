import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { choosePolicy, decodePcrPolicies, encodePcrPolicies, policyRefOf, predictPolicy, signPolicy } from './index.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const values = [{ index: 7, value: new Uint8Array(32) }]

function example(): string {
  // README
  const predicted = predictPolicy({ label: 'firmware 1.21', reference: 'node-1.v1', values, createdAtMs: 0 })
  const file = encodePcrPolicies([signPolicy(predicted, privateKey)])
  const policies = decodePcrPolicies(file)
  const choice = choosePolicy({ policies, publicKey, policyRef: policyRefOf('node-1.v1'), current: values })
  return choice.kind // 'fits'
  // README
}

describe('the example in the README', () => {
  it('does what it says', () => {
    expect(example()).toBe('fits')
  })

  it('stands there as it stands here', () => {
    const [, code = ''] = readFileSync(join(import.meta.dirname, 'readme.test.ts'), 'utf8').split('// README\n')
    const written = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
    for (const line of code.split('\n').map(text => text.replace('return ', '').trim())) expect(written).toContain(line)
  })
})
