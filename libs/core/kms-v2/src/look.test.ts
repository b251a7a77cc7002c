import { Secret } from '@sealwright/secret'
import { type KmsBackend } from './backend.ts'
import { MAX_WRAPPED_BYTES } from './ciphertext.ts'
import { KmsError } from './errors.ts'
import { activeVersion, CONVINCING_DOUBTS, type KeyLife } from './key-life.ts'
import { type KeyLook, lookAtKey, type LookOptions } from './look.ts'
import { type MemoryBackend, memoryBackend } from './testing/memory-backend.ts'
import { CALL, CLUSTER_ID, codeOf, POLICY, seed, START_MS } from './testing/test-service.ts'

let backend: MemoryBackend
let life: KeyLife | null
let turn: number
let nowMs: number

beforeEach(() => {
  nowMs = START_MS
  backend = memoryBackend({ provider: 'transit', nowMs: () => nowMs })
  life = null
  turn = 0
})

async function look(changes: Partial<LookOptions> = {}): Promise<KeyLook> {
  const options = { backend, clusterId: CLUSTER_ID, policy: POLICY, nowMs, newPlaintext: () => seed() }
  const found = await lookAtKey(life, { ...options, turn: (turn += 1), ...changes }, CALL)
  life = found.life
  return found
}

/** A backend some of whose calls do something else. */
function changed(changes: Partial<KmsBackend>): KmsBackend {
  return { ...backend, ...changes }
}

/** What fails for some versions. */
function failingFor(...versions: readonly number[]): KmsBackend {
  const failure = new KmsError('KMS_BACKEND_REFUSED', 'told to')
  return changed({
    encrypt: (options, call) =>
      versions.includes(options.version) ? Promise.reject(failure) : backend.encrypt(options, call),
  })
}

const hasSamples = () => life?.versions.map(({ sample }) => sample !== null)

/** Versions of one key, all of them old. */
async function withVersions(count: number): Promise<void> {
  for (let version = 1; version < count; version += 1) backend.rotate()
  nowMs += 10 * POLICY.activationDelayMs
  await look()
}

describe('a look at a key', () => {
  it('tries the newest version for real, and keeps what it encrypted as its sample', async () => {
    const found = await look()
    expect(found).toMatchObject({ isDoubtful: false, failure: null, newestFailure: null })
    expect(backend.calls).toEqual({ observe: 1, encrypt: 1, decrypt: 1 })
    const [sample] = life?.versions.map(version => version.sample) ?? []
    expect(sample).toHaveLength(12 + 32 + 16)
    await look()
    expect(life?.versions[0]?.sample).toBe(sample)
    // The sample, and a fresh try.
    expect(backend.calls).toEqual({ observe: 2, encrypt: 2, decrypt: 3 })
  })

  it('wipes what it tries with', async () => {
    const made: Secret[] = []
    await look({
      newPlaintext: () => {
        const plaintext = seed()
        made.push(plaintext)
        return plaintext
      },
    })
    expect(made).toHaveLength(1)
    for (const plaintext of made) expect(() => plaintext.reveal(bytes => bytes)).toThrow(TypeError)
  })

  it('takes a sample of one old version each time, and then lets one of them be decrypted each time', async () => {
    await withVersions(4)
    expect(hasSamples()?.filter(Boolean)).toHaveLength(2)
    for (let count = 0; count < 2; count += 1) await look()
    expect(hasSamples()).toEqual([true, true, true, true])
    const before = backend.calls.decrypt
    await look()
    // Of version 4, of one of the others, and the fresh try.
    expect(backend.calls.decrypt - before).toBe(3)
  })

  it('takes none of what may not encrypt any more', async () => {
    backend.rotate()
    backend.setOldestEncryptable(2)
    await withVersions(1)
    for (let count = 0; count < 3; count += 1) await look()
    expect(hasSamples()).toEqual([false, true])
  })

  it.each([1, 2, 3])('finds out within a few looks that version %d of three is another key', async version => {
    await withVersions(3)
    for (let count = 0; count < 2; count += 1) await look()
    expect(hasSamples()).toEqual([true, true, true])
    const other = memoryBackend({ provider: 'transit', nowMs: () => nowMs })
    const { key } = other.backUp().versions[0] ?? {}
    if (key === undefined) throw new Error('there is no other key')
    const whole = backend.backUp()
    backend.restore({
      ...whole,
      versions: whole.versions.map(each => (each.version === version ? { ...each, key } : each)),
    })
    for (let count = 0; count < 2; count += 1) await look()
    expect(life?.trouble).toMatchObject({ kind: 'replaced', version })
    // And does not forget it at the next turn.
    for (let count = 0; count < 3; count += 1) {
      await look()
      expect(life?.trouble).toMatchObject({ kind: 'replaced', version })
    }
    backend.restore(whole)
    await look()
    expect(life?.trouble).toBeNull()
  })

  it('takes no sample of a key in trouble: it would be one of another key', async () => {
    await look()
    const mine = life?.versions[0]?.sample
    backend.replaceKey()
    for (let count = 0; count < 3; count += 1) await look()
    expect(life?.versions.map(({ sample }) => sample)).toEqual([mine])
  })

  it('is not troubled by the sample of a version that was retired meanwhile', async () => {
    await withVersions(2)
    await look()
    const lagging = changed({
      decrypt: (options, call) =>
        options.version === 1
          ? Promise.reject(new KmsError('KMS_VERSION_RETIRED', 'told to'))
          : backend.decrypt(options, call),
    })
    expect(await look({ backend: lagging })).toMatchObject({ failure: null, life: { trouble: null } })
  })

  it('learns nothing while the backend does not answer, and says why', async () => {
    await look()
    const before = life
    for (const code of ['KMS_BACKEND_UNAVAILABLE', 'KMS_DEADLINE_EXCEEDED'] as const) {
      backend.failWith(new KmsError(code, 'told to'))
      expect(await codeOf(() => look())).toBe(code)
    }
    const silent = changed({ decrypt: () => Promise.reject(new KmsError('KMS_BACKEND_UNAVAILABLE', 'told to')) })
    backend.failWith(null)
    expect(await codeOf(() => look({ backend: silent }))).toBe('KMS_BACKEND_UNAVAILABLE')
    expect(life).toBe(before)
  })

  it('begins with no version that was not seen to work', async () => {
    expect(await codeOf(() => look({ backend: failingFor(1) }))).toBe('KMS_BACKEND_REFUSED')
    expect(life).toBeNull()
  })

  it('says that the newest version does not work, while the active one does', async () => {
    await look()
    backend.rotate()
    const found = await look({ backend: failingFor(2) })
    expect(found).toMatchObject({ newestFailure: { version: 2 }, failure: null })
    expect(hasSamples()).toEqual([true, false])
    expect(await look({ backend: failingFor(1) })).toMatchObject({
      newestFailure: null,
      failure: expect.anything() as unknown,
    })
    expect(await look({ backend: failingFor(1, 2) })).toMatchObject({
      ...{ newestFailure: { version: 2 }, failure: expect.anything() as unknown },
    })
  })

  it('says that the active version does not work, when it is the newest', async () => {
    await look()
    expect(await look({ backend: failingFor(1) })).toMatchObject({
      newestFailure: null,
      failure: { cause: { code: 'KMS_BACKEND_REFUSED' } },
    })
  })

  it.each([0, MAX_WRAPPED_BYTES + 1])('does not take %d bytes for a sample', async byteLength => {
    const broken = changed({ encrypt: () => Promise.resolve(new Uint8Array(byteLength)) })
    expect(await codeOf(() => look({ backend: broken }))).toBe('KMS_BACKEND_BROKEN')
  })

  it('does not take other bytes than were encrypted', async () => {
    const lying = changed({ decrypt: () => Promise.resolve(new Secret(new Uint8Array(32))) })
    expect(await codeOf(() => look({ backend: lying }))).toBe('KMS_BACKEND_BROKEN')
  })

  it('says nothing at first when less is seen than is known, and tries nothing', async () => {
    const backup = backend.backUp()
    backend.rotate()
    await withVersions(1)
    const before = life
    backend.restore(backup)
    const { encrypt } = backend.calls
    expect(await look()).toMatchObject({ isDoubtful: true, failure: null, newestFailure: null })
    expect(life).toEqual({ ...before, doubts: 1 })
    expect(backend.calls.encrypt).toBe(encrypt)
    for (let count = 1; count < CONVINCING_DOUBTS; count += 1) await look()
    expect(life?.trouble).toEqual({ kind: 'went-back', newest: 1, known: 2 })
    expect(life === null ? undefined : activeVersion(life)?.version).toBe(2)
  })

  it('fails while there is no key, and believes it after a few times', async () => {
    expect(await codeOf(() => look({ backend: changed({ observe: gone }) }))).toBe('KMS_KEY_GONE')
    await look()
    for (let count = 1; count <= CONVINCING_DOUBTS; count += 1) {
      expect(await look({ backend: changed({ observe: gone }) })).toMatchObject({
        ...{ isDoubtful: false, failure: { cause: { code: 'KMS_KEY_GONE' } } },
        life: { doubts: count, trouble: count < CONVINCING_DOUBTS ? null : { kind: 'missing' } },
      })
    }
  })
})

const gone = () => Promise.reject(new KmsError('KMS_KEY_GONE', 'told to'))
