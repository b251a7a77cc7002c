import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { readReadmeExamples } from '@sealwright/testing-checks'

import { decryptEnvelope, encryptEnvelope } from './envelope.ts'

function example(key: KeyObject, clusterId: Uint8Array, plaintext: Uint8Array): Uint8Array {
  // README
  const keyRef = new TextEncoder().encode('k1')
  const context = [clusterId]
  const bytes = encryptEnvelope({ key, purpose: 'openbao-blob', keyRef, context, plaintext, randomBytes })
  return decryptEnvelope({ key, purpose: 'openbao-blob', context, bytes })
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('works', () => {
    const key = createSecretKey(randomBytes(32))
    expect(example(key, randomBytes(16), Uint8Array.of(1, 2, 3))).toEqual(Uint8Array.of(1, 2, 3))
  })
})
