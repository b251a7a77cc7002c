import { createPublicKey } from 'node:crypto'
import { readVectors, toHex } from '@sealwright/testing-vectors'
import { decodePcrPolicies, encodePcrPolicies } from './codec.ts'
import { policyDigestOf } from './policy.ts'
import { isSignedBy } from './sign.ts'

const files = readVectors('pcr-policies', 'files.json', {
  file: 'text',
  publicKey: 'text',
  createdAtMs: 'number',
  labels: 'json',
  digests: 'json',
  signed: 'json',
})
const refused = readVectors('pcr-policies', 'refused.json', { file: 'json', code: 'text' })

describe('a policies file that another program wrote', () => {
  it.each(files)('is read, written and checked alike: $name', vector => {
    const bytes = Buffer.from(vector.file)
    const policies = decodePcrPolicies(bytes)
    expect(policies.map(({ label }) => label)).toEqual(vector.labels)
    expect(policies.map(policy => toHex(policyDigestOf(policy)))).toEqual(vector.digests)
    expect(policies.every(({ createdAtMs }) => createdAtMs === vector.createdAtMs)).toBe(true)
    const publicKey = createPublicKey(vector.publicKey)
    expect(policies.map(policy => policy.state === 'signed' && isSignedBy(policy, publicKey))).toEqual(vector.signed)
    expect(Buffer.from(encodePcrPolicies(policies)).equals(bytes)).toBe(true)
  })
})

describe('what is no policies file', () => {
  it.each(refused)('is refused: $name', ({ file, code }) => {
    expect(() => decodePcrPolicies(Buffer.from(String(file)))).toThrow(expect.objectContaining({ code }) as Error)
  })
})
