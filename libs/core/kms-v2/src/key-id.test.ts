import { readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'
import { type KmsProvider } from './backend.ts'
import { type KeyIdentity, keyIdOf, LINEAGE_BYTES, MAX_KEY_VERSION } from './key-id.ts'

const vectors = readVectors('kms-v2', 'key-ids.json', {
  provider: 'text',
  clusterId: 'text',
  lineage: 'hex',
  version: 'number',
  keyId: 'text',
})

const identity: fc.Arbitrary<KeyIdentity> = fc.record({
  provider: fc.constantFrom<KmsProvider>('transit', 'keyring'),
  clusterId: fc.string({ unit: 'binary', minLength: 1 }).filter(text => text.isWellFormed()),
  lineage: fc.uint8Array({ minLength: LINEAGE_BYTES, maxLength: LINEAGE_BYTES }),
  version: fc.integer({ min: 1, max: MAX_KEY_VERSION }),
})

describe('a key id', () => {
  it.each(vectors)('is as documented: $name', ({ provider, keyId, ...rest }) => {
    expect(keyIdOf({ provider: provider as KmsProvider, ...rest })).toBe(keyId)
  })

  it('is the same each time, and fits what kube-apiserver takes', () => {
    fc.assert(
      fc.property(identity, one => {
        expect(keyIdOf(one)).toMatch(/^sealwright\.v1\.[A-Za-z0-9_-]{43}$/)
        expect(keyIdOf({ ...one, lineage: Uint8Array.from(one.lineage) })).toBe(keyIdOf(one))
      }),
    )
  })

  it('is another one wherever anything is another', () => {
    fc.assert(
      fc.property(identity, identity, (one, two) => {
        const fields = ({ provider, clusterId, lineage, version }: KeyIdentity): string =>
          JSON.stringify([provider, clusterId, toHex(lineage), version])
        expect(keyIdOf(one) === keyIdOf(two)).toBe(fields(one) === fields(two))
        expect(keyIdOf({ ...one, version: (one.version % MAX_KEY_VERSION) + 1 })).not.toBe(keyIdOf(one))
        expect(keyIdOf({ ...one, clusterId: `${one.clusterId} ` })).not.toBe(keyIdOf(one))
      }),
    )
  })
})
