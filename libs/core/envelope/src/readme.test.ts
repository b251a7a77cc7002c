import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

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
    const [, shown] = /```ts\n(.*?)```/s.exec(readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')) ?? []
    const [, own] = /^ {2}\/\/ README\n(.*?)^ {2}\/\/ end$/ms.exec(readFileSync(import.meta.filename, 'utf8')) ?? []
    expect(shown).toBe(own?.replace(/^ {2}/gm, ''))
  })

  it('works', () => {
    const key = createSecretKey(randomBytes(32))
    expect(example(key, randomBytes(16), Uint8Array.of(1, 2, 3))).toEqual(Uint8Array.of(1, 2, 3))
  })
})
