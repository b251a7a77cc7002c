import { readReadmeExamples } from '@sealwright/testing-checks'
import { parseStoredValue } from './index.ts'
import { writeByLibrary } from './testing/protobuf.ts'

function example(value: Uint8Array): string {
  // README
  const stored = parseStoredValue(value)
  if (stored.kind !== 'kms-v2') return stored.kind
  return `by ${stored.provider} with key ${stored.object.keyId}`
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('works', () => {
    const object = writeByLibrary({
      ...{ encryptedData: Buffer.of(1), keyID: 'a', encryptedDEKSource: Buffer.of(2), annotations: {} },
      encryptedDEKSourceType: 1,
    })
    expect(example(Buffer.concat([Buffer.from('k8s:enc:kms:v2:sealwright:'), object]))).toBe('by sealwright with key a')
    expect(example(Buffer.from('k8s\0'))).toBe('plaintext')
  })
})
