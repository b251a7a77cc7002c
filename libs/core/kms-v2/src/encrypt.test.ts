import { Secret } from '@sealwright/secret'
import { printsOf, spellingsOf } from '@sealwright/testing-checks'
import { adoptKey } from './adopt-key.ts'
import { type KmsBackend } from './backend.ts'
import { BINDING_ANNOTATION, MAX_CIPHERTEXT_BYTES, MAX_WRAPPED_BYTES, parseCiphertext } from './ciphertext.ts'
import { CONVINCING_DOUBTS, pendingVersion } from './key-life.ts'
import { type KmsV2Service } from './service.ts'
import { kmsV2Service, MAX_PLAINTEXT_BYTES } from './service-of-backend.ts'
import {
  CALL,
  CLUSTER_ID,
  codeOf,
  errorOf,
  knowing,
  POLICY,
  seed,
  testService,
  type TestService,
} from './testing/test-service.ts'

/** A service whose backend answers an Encrypt with so many bytes, and a Decrypt with the plaintext that it was given. */
function answering({ backend: memory, told }: TestService, wrappedBytes: number): KmsV2Service {
  let kept = seed()
  const backend: KmsBackend = {
    ...memory,
    encrypt: ({ plaintext }) => {
      kept = plaintext.clone()
      return Promise.resolve(new Uint8Array(wrappedBytes).fill(5))
    },
    decrypt: ({ wrapped }) =>
      wrapped.byteLength === wrappedBytes ? Promise.resolve(kept) : Promise.reject(new Error('not what it gave')),
  }
  return kmsV2Service({ backend, clusterId: CLUSTER_ID, ...knowing(told.life) })
}

describe('what Encrypt answers', () => {
  it('is what kube-apiserver takes', async () => {
    const test = await testService()
    const made = await test.service.encrypt({ plaintext: seed(), uid: 'e' }, CALL)
    expect(made.ciphertext.byteLength).toBe(26 + 12 + 32 + 16)
    expect(made.keyId).toMatch(/^sealwright\.v1\.[\w-]{43}$/)
    expect([...made.annotations.keys()]).toEqual([BINDING_ANNOTATION])
    expect(made.keyId).toBe(test.service.status().keyId)
  })

  it('is by the active version, also while a newer one waits', async () => {
    const test = await testService()
    test.backend.rotate()
    expect(pendingVersion(await test.observe())?.version).toBe(2)
    const { ciphertext } = await test.service.encrypt({ plaintext: seed(), uid: 'e' }, CALL)
    expect(parseCiphertext(ciphertext).version).toBe(1)
  })

  it('leaves the plaintext to the caller, whether it goes well or not', async () => {
    const test = await testService()
    const plaintext = seed()
    await test.service.encrypt({ plaintext, uid: 'e' }, CALL)
    test.backend.failWith(new Error('told to'))
    await expect(test.service.encrypt({ plaintext, uid: 'e' }, CALL)).rejects.toThrow('told to')
    expect(plaintext.equals(seed())).toBe(true)
  })

  it('shows no plaintext, and neither does a failure', async () => {
    const test = await testService()
    const bytes = Uint8Array.from({ length: 32 }, (_, index) => 0x60 + index)
    const plaintext = new Secret(Uint8Array.from(bytes))
    const made = await test.service.encrypt({ plaintext, uid: 'e' }, CALL)
    const decrypted = await test.service.decrypt({ ...made, uid: 'd' }, CALL)
    test.told.life = null
    const failure = await errorOf(() => test.service.encrypt({ plaintext, uid: 'e' }, CALL))
    for (const print of [made, decrypted, failure].flatMap(printsOf)) {
      for (const spelling of spellingsOf(bytes)) expect(print).not.toContain(spelling)
    }
  })
})

describe('the size of a plaintext', () => {
  it.each([1, 32, MAX_PLAINTEXT_BYTES])('may be %d bytes', async byteLength => {
    const test = await testService()
    const plaintext = new Secret(new Uint8Array(byteLength).fill(1))
    const made = await test.service.encrypt({ plaintext, uid: 'e' }, CALL)
    expect((await test.service.decrypt({ ...made, uid: 'd' }, CALL)).plaintext.equals(plaintext)).toBe(true)
  })

  it.each([0, MAX_PLAINTEXT_BYTES + 1])(
    'may not be %d bytes, which the backend is not asked about',
    async byteLength => {
      const test = await testService()
      const plaintext = new Secret(new Uint8Array(byteLength))
      expect(await codeOf(() => test.service.encrypt({ plaintext, uid: 'e' }, CALL))).toBe('KMS_REQUEST_INVALID')
      expect(test.backend.calls.encrypt).toBe(0)
    },
  )
})

describe('the size of what the backend gives', () => {
  it('may be what still fits into a ciphertext', async () => {
    expect(MAX_WRAPPED_BYTES).toBe(998)
    for (const wrappedBytes of [1, MAX_WRAPPED_BYTES]) {
      const service = answering(await testService(), wrappedBytes)
      const made = await service.encrypt({ plaintext: seed(), uid: 'e' }, CALL)
      expect(made.ciphertext.byteLength).toBeLessThanOrEqual(MAX_CIPHERTEXT_BYTES)
      expect((await service.decrypt({ ...made, uid: 'd' }, CALL)).plaintext.equals(seed())).toBe(true)
    }
  })

  it.each([0, MAX_WRAPPED_BYTES + 1])('may not be %d bytes', async wrappedBytes => {
    const service = answering(await testService(), wrappedBytes)
    expect(await codeOf(() => service.encrypt({ plaintext: seed(), uid: 'e' }, CALL))).toBe('KMS_BACKEND_BROKEN')
  })
})

describe('nothing is encrypted', () => {
  const encryptCode = ({ service }: TestService) => codeOf(() => service.encrypt({ plaintext: seed(), uid: 'e' }, CALL))

  it('before the key was seen, or where nothing in it can be used', async () => {
    const test = await testService()
    test.told.life = null
    expect(await encryptCode(test)).toBe('KMS_NOT_READY')
    test.backend.setOldestEncryptable(2)
    await test.observe()
    expect(await encryptCode(test)).toBe('KMS_NOT_READY')
    expect(test.backend.calls.encrypt).toBe(0)
  })

  it('from memory alone, before the key was looked at since the start; but it is decrypted', async () => {
    const test = await testService()
    const made = await test.service.encrypt({ plaintext: seed(), uid: 'e' }, CALL)
    test.told.hasLooked = false
    const error = await errorOf(() => test.service.encrypt({ plaintext: seed(), uid: 'e' }, CALL))
    expect(error).toMatchObject({ code: 'KMS_NOT_READY' })
    expect(error?.message).toContain('this ends by itself')
    expect(test.backend.calls.encrypt).toBe(1)
    expect((await test.service.decrypt({ ...made, uid: 'd' }, CALL)).plaintext.equals(seed())).toBe(true)
    expect(test.service.status().keyId).toBe(made.keyId)
  })

  it('before the look that is under way has ended, and then by what it has found', async () => {
    const test = await testService()
    test.told.hasLooked = false
    const looking = Promise.withResolvers<undefined>()
    const options = { life: () => test.told.life, hasLooked: () => test.told.hasLooked, illness: () => null }
    const service = kmsV2Service({
      ...{ backend: test.backend, clusterId: CLUSTER_ID, ...options },
      lookEnds: async () => {
        await looking.promise
      },
    })
    const made = service.encrypt({ plaintext: seed(), uid: 'e' }, CALL)
    test.backend.rotate()
    await test.observe()
    await test.observe(POLICY.activationDelayMs)
    expect(test.backend.calls.encrypt).toBe(0)
    test.told.hasLooked = true
    looking.resolve(undefined)
    expect(parseCiphertext((await made).ciphertext).version).toBe(2)
  })

  it('after a look that did not pass', async () => {
    const test = await testService()
    const options = { life: () => test.told.life, hasLooked: () => false, illness: () => null }
    const lookEnds = () => Promise.resolve()
    const service = kmsV2Service({ backend: test.backend, clusterId: CLUSTER_ID, ...options, lookEnds })
    expect(await codeOf(() => service.encrypt({ plaintext: seed(), uid: 'e' }, CALL))).toBe('KMS_NOT_READY')
  })

  it('by a key that was replaced within the second in which it was made', async () => {
    const test = await testService()
    test.backend.replaceKeyUnseen()
    expect((await test.observe()).trouble).toMatchObject({ kind: 'replaced', version: 1 })
    expect(await encryptCode(test)).toBe('KMS_KEY_GONE')
  })

  it('by a key that is not there any more', async () => {
    const test = await testService()
    const backup = test.backend.backUp()
    test.backend.deleteKey()
    for (let count = 0; count < CONVINCING_DOUBTS; count += 1) await test.observe()
    expect(await encryptCode(test)).toBe('KMS_KEY_GONE')
    test.backend.restore(backup)
    await test.observe()
    expect(await encryptCode(test)).toBe('none')
  })

  it('by a key that was taken for another and looks like it, before it is rotated', async () => {
    const test = await testService()
    test.backend.replaceKeyUnseen()
    const life = await test.observe()
    test.told.life = {
      ...adoptKey({ provider: 'transit', clusterId: CLUSTER_ID, life }).life,
      ...{ doubts: 0, trouble: null },
    }
    expect(await encryptCode(test)).toBe('KMS_NOT_READY')
    await test.observe()
    const error = await errorOf(() => test.service.encrypt({ plaintext: seed(), uid: 'e' }, CALL))
    expect(error).toMatchObject({ code: 'KMS_KEY_GONE', message: expect.stringContaining('rotate the key') as unknown })
    test.backend.rotate()
    await test.observe()
    expect(await encryptCode(test)).toBe('none')
  })

  it('by a key that was replaced', async () => {
    const test = await testService()
    test.backend.replaceKey()
    await test.observe()
    expect(await encryptCode(test)).toBe('KMS_KEY_GONE')
    expect(test.backend.calls.encrypt).toBe(0)
  })

  it('when the backend has gone back behind the active version', async () => {
    const test = await testService()
    const backup = test.backend.backUp()
    test.backend.rotate()
    await test.observe()
    await test.observe(600_000)
    test.backend.restore(backup)
    for (let count = 0; count < CONVINCING_DOUBTS; count += 1) await test.observe()
    expect(await encryptCode(test)).toBe('KMS_KEY_GONE')
    expect(test.backend.calls.encrypt).toBe(0)
  })

  it('when no version is left that decrypts too', async () => {
    const test = await testService()
    test.backend.setOldestEncryptable(2)
    await test.observe()
    expect(await encryptCode(test)).toBe('KMS_KEY_GONE')
    expect(test.backend.calls.encrypt).toBe(0)
  })
})

describe('all goes on', () => {
  it('when the backend has gone back, but has the active version', async () => {
    const test = await testService()
    const backup = test.backend.backUp()
    test.backend.rotate()
    await test.observe()
    test.backend.restore(backup)
    for (let count = 0; count < CONVINCING_DOUBTS; count += 1) await test.observe()
    expect(test.told.life?.trouble).toEqual({ kind: 'went-back', newest: 1, known: 2 })
    const { ciphertext } = await test.service.encrypt({ plaintext: seed(), uid: 'e' }, CALL)
    expect(parseCiphertext(ciphertext).version).toBe(1)
  })

  it('when the trouble has gone', async () => {
    const test = await testService()
    test.backend.setOldestEncryptable(2)
    await test.observe()
    test.backend.setOldestEncryptable(1)
    await test.observe()
    const { ciphertext } = await test.service.encrypt({ plaintext: seed(), uid: 'e' }, CALL)
    expect(parseCiphertext(ciphertext).version).toBe(1)
  })
})
