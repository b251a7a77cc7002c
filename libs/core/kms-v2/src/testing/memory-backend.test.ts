import { CALL, codeOf, seed, START_MS } from './test-service.ts'
import { memoryBackend } from './memory-backend.ts'

const associatedData = Uint8Array.of(1, 2, 3)

function make() {
  return memoryBackend({ provider: 'transit', nowMs: () => START_MS })
}

describe('a key in memory', () => {
  it('decrypts what it encrypted, by the same version with the same associated data', async () => {
    const backend = make()
    const wrapped = await backend.encrypt({ version: 1, plaintext: seed(), associatedData }, CALL)
    const plaintext = await backend.decrypt({ version: 1, wrapped, associatedData }, CALL)
    expect(plaintext.equals(seed())).toBe(true)
    expect(backend.calls).toEqual({ observe: 0, encrypt: 1, decrypt: 1 })
  })

  it('refuses anything else', async () => {
    const backend = make()
    backend.rotate()
    const wrapped = await backend.encrypt({ version: 1, plaintext: seed(), associatedData }, CALL)
    const damaged = Uint8Array.from(wrapped, (byte, index) => (index === 20 ? byte ^ 1 : byte))
    const decrypt = (options: object) =>
      codeOf(() => backend.decrypt({ version: 1, wrapped, associatedData, ...options }, CALL))
    expect(await decrypt({ version: 2 })).toBe('KMS_CIPHERTEXT_REFUSED')
    expect(await decrypt({ associatedData: Uint8Array.of(1, 2) })).toBe('KMS_CIPHERTEXT_REFUSED')
    expect(await decrypt({ wrapped: damaged })).toBe('KMS_CIPHERTEXT_REFUSED')
    expect(await decrypt({ wrapped: wrapped.subarray(0, 5) })).toBe('KMS_CIPHERTEXT_REFUSED')
    expect(await decrypt({ version: 3 })).toBe('KMS_KEY_GONE')
    expect(await decrypt({})).toBe('none')
  })

  it('no more lists nor decrypts what is below its minimum, until that is lowered', async () => {
    const backend = make()
    const wrapped = await backend.encrypt({ version: 1, plaintext: seed(), associatedData }, CALL)
    const before = await backend.observe(CALL)
    backend.rotate()
    backend.setOldestDecryptable(2)
    backend.setOldestEncryptable(2)
    expect((await backend.observe(CALL)).versions.map(({ version }) => version)).toEqual([2])
    expect(await codeOf(() => backend.decrypt({ version: 1, wrapped, associatedData }, CALL))).toBe(
      'KMS_VERSION_RETIRED',
    )
    expect(await codeOf(() => backend.encrypt({ version: 1, plaintext: seed(), associatedData }, CALL))).toBe(
      'KMS_KEY_GONE',
    )
    backend.setOldestDecryptable(1)
    expect((await backend.observe(CALL)).versions[0]).toEqual(before.versions[0])
  })

  it('has another lineage when it is made anew at the same moment, and its own again when it is restored', async () => {
    const backend = make()
    const [before] = (await backend.observe(CALL)).versions
    const backup = backend.backUp()
    backend.replaceKey()
    const [other] = (await backend.observe(CALL)).versions
    expect(other?.createdAtMs).toBe(before?.createdAtMs)
    expect(other?.lineage).not.toEqual(before?.lineage)
    backend.restore(backup)
    expect((await backend.observe(CALL)).versions).toEqual([before])
  })

  it('looks the same when it is made anew within a second, and decrypts nothing of before', async () => {
    const backend = make()
    const wrapped = await backend.encrypt({ version: 1, plaintext: seed(), associatedData }, CALL)
    const before = await backend.observe(CALL)
    backend.replaceKeyUnseen()
    expect(await backend.observe(CALL)).toEqual(before)
    expect(await codeOf(() => backend.decrypt({ version: 1, wrapped, associatedData }, CALL))).toBe(
      'KMS_CIPHERTEXT_REFUSED',
    )
  })

  it('is not there once it is deleted, until it is restored', async () => {
    const backend = make()
    const backup = backend.backUp()
    backend.deleteKey()
    expect(await codeOf(() => backend.observe(CALL))).toBe('KMS_KEY_GONE')
    backend.restore(backup)
    expect((await backend.observe(CALL)).versions).toHaveLength(1)
  })

  it('fails as it is told, and counts that too', async () => {
    const backend = make()
    backend.failWith(new Error('told to'))
    await expect(backend.observe(CALL)).rejects.toThrow('told to')
    await expect(backend.encrypt({ version: 1, plaintext: seed(), associatedData }, CALL)).rejects.toThrow('told to')
    await expect(backend.decrypt({ version: 1, wrapped: new Uint8Array(60), associatedData }, CALL)).rejects.toThrow(
      'told to',
    )
    expect(backend.calls).toEqual({ observe: 1, encrypt: 1, decrypt: 1 })
    backend.failWith(null)
    expect((await backend.observe(CALL)).versions).toHaveLength(1)
  })

  it('overwrites its keys at the end', async () => {
    const backend = make()
    const { versions } = backend.backUp()
    await backend[Symbol.asyncDispose]()
    expect(versions.every(({ key }) => key.every(byte => byte === 0))).toBe(true)
  })
})
