import { CONVINCING_DOUBTS } from './key-life.ts'
import { codeOf, errorOf, testService, type TestService } from './testing/test-service.ts'

describe('Status', () => {
  it('answers from memory, also while the backend is away', async () => {
    const test = await testService()
    const before = { ...test.backend.calls }
    test.backend.failWith(new Error('told to'))
    const status = test.service.status()
    expect(status).toEqual({ version: 'v2', healthz: 'ok', keyId: status.keyId })
    expect(test.backend.calls).toEqual(before)
  })

  it('has the same key id on every node and after each look', async () => {
    const test = await testService()
    const { keyId } = test.service.status()
    await test.observe(60_000)
    expect(test.service.status().keyId).toBe(keyId)
    test.told.life = null
    await test.observe()
    expect(test.service.status().keyId).toBe(keyId)
  })

  it('changes its key id when the next version becomes active, and not before', async () => {
    const test = await testService()
    const { keyId } = test.service.status()
    test.backend.rotate()
    await test.observe()
    await test.observe(599_999)
    expect(test.service.status().keyId).toBe(keyId)
    await test.observe(1)
    expect(test.service.status().keyId).not.toBe(keyId)
  })

  it('tells what is wrong, the key before the backend', async () => {
    const test = await testService()
    test.told.illness = 'KMS_BACKEND_UNAVAILABLE: it is down'
    expect(test.service.status().healthz).toBe('KMS_BACKEND_UNAVAILABLE: it is down')
    const backup = test.backend.backUp()
    test.backend.rotate()
    await test.observe()
    test.backend.restore(backup)
    await test.observe()
    expect(test.service.status().healthz).toBe('KMS_BACKEND_UNAVAILABLE: it is down')
    for (let count = 1; count < CONVINCING_DOUBTS; count += 1) await test.observe()
    expect(test.service.status().healthz).toMatch(/^KMS_KEY_GONE: the newest version of the key is 1, and was 2/)
  })

  it.each<readonly [string, (test: TestService) => void]>([
    [
      'was replaced',
      ({ backend }) => {
        backend.replaceKey()
      },
    ],
    [
      'was replaced within a second',
      ({ backend }) => {
        backend.replaceKeyUnseen()
      },
    ],
    [
      'is not there',
      ({ backend }) => {
        backend.deleteKey()
      },
    ],
    [
      'may not encrypt',
      ({ backend }) => {
        backend.setOldestEncryptable(2)
      },
    ],
  ])('names no key, so that kube-apiserver stops writing by it, when the key %s', async (_case, happen) => {
    const test = await testService()
    const backup = test.backend.backUp()
    happen(test)
    for (let count = 0; count < CONVINCING_DOUBTS; count += 1) await test.observe()
    const error = await errorOf(() => test.service.status())
    expect(error).toMatchObject({ code: 'KMS_KEY_GONE', message: expect.stringMatching(/^KMS_KEY_GONE: /) as unknown })
    test.backend.restore(backup)
    await test.observe()
    expect(test.service.status().healthz).toBe('ok')
  })

  it('names no key when the backend has gone back behind the active version', async () => {
    const test = await testService()
    const backup = test.backend.backUp()
    test.backend.rotate()
    await test.observe()
    await test.observe(600_000)
    test.backend.restore(backup)
    for (let count = 0; count < CONVINCING_DOUBTS; count += 1) await test.observe()
    expect(await codeOf(() => test.service.status())).toBe('KMS_KEY_GONE')
  })

  it('fails while no version is known that encrypts', async () => {
    const test = await testService()
    test.told.life = null
    expect(await codeOf(() => test.service.status())).toBe('KMS_NOT_READY')
    test.told.life = {
      ...{ versions: [], former: [], stableObservations: 0, doubts: 0 },
      trouble: { kind: 'unusable' },
    }
    expect(await codeOf(() => test.service.status())).toBe('KMS_NOT_READY')
  })
})
