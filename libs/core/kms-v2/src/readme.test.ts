import { randomKeyBytes, Secret } from '@sealwright/secret'
import { readReadmeExamples } from '@sealwright/testing-checks'

import { type KmsBackend } from './backend.ts'
import { type RotationPolicy } from './key-life.ts'
import { lookAtKey } from './look.ts'
import { kmsV2Service } from './service-of-backend.ts'
import { type KmsCall } from './service.ts'
import { memoryBackend } from './testing/memory-backend.ts'
import { CALL, CLUSTER_ID, POLICY, seed } from './testing/test-service.ts'

async function example(
  backend: KmsBackend,
  clusterId: string,
  policy: RotationPolicy,
  plaintext: Secret,
  call: KmsCall,
): Promise<Secret> {
  // README
  const newPlaintext = () => new Secret(randomKeyBytes(32))
  const look = { backend, clusterId, policy, nowMs: Date.now(), turn: 0, newPlaintext }
  const { life } = await lookAtKey(null, look, call)
  const told = { life: () => life, hasLooked: () => true, illness: () => null }
  const service = kmsV2Service({ backend, clusterId, ...told })
  const { ciphertext, keyId, annotations } = await service.encrypt({ plaintext, uid: 'a' }, call)
  const response = await service.decrypt({ ciphertext, keyId, annotations, uid: 'b' }, call)
  return response.plaintext
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('works', async () => {
    const backend = memoryBackend({ provider: 'transit', nowMs: Date.now })
    expect((await example(backend, CLUSTER_ID, POLICY, seed(), CALL)).equals(seed())).toBe(true)
  })
})
