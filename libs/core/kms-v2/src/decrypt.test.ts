import { adoptKey } from './adopt-key.ts'
import { type KmsBackend, type KmsProvider } from './backend.ts'
import { annotationsOf, BINDING_ANNOTATION, encodeHeader, joinCiphertext } from './ciphertext.ts'
import { KmsError } from './errors.ts'
import { CONVINCING_DOUBTS } from './key-life.ts'
import { keyIdOf, MAX_KEY_VERSION } from './key-id.ts'
import { lookAtKey } from './look.ts'
import { kmsV2Service } from './service-of-backend.ts'
import { type DecryptRequest, type EncryptResponse } from './service.ts'
import {
  CALL,
  CLUSTER_ID,
  codeOf,
  errorOf,
  knowing,
  POLICY,
  seed,
  START_MS,
  testService,
  type TestService,
} from './testing/test-service.ts'

async function encrypted(test: TestService, fill?: number): Promise<EncryptResponse> {
  return await test.service.encrypt({ plaintext: seed(fill), uid: 'e' }, CALL)
}

/** What a Decrypt ends with; the test fails if the backend was asked for a request that is refused. */
async function refusalOf({ service, backend }: TestService, request: Omit<DecryptRequest, 'uid'>): Promise<string> {
  const before = { ...backend.calls }
  const code = await codeOf(() => service.decrypt({ uid: 'd', ...request }, CALL))
  expect(backend.calls).toEqual(before)
  return code
}

/** Key id and annotations that fit a ciphertext with this header: whoever writes to etcd can make them. */
function forged(
  version: number,
  {
    lineage = new Uint8Array(16),
    provider = 'transit',
    clusterId = CLUSTER_ID,
    wrapped = new Uint8Array(60),
  }: {
    readonly lineage?: Uint8Array
    readonly provider?: KmsProvider
    readonly clusterId?: string
    readonly wrapped?: Uint8Array
  },
): Omit<DecryptRequest, 'uid'> {
  const keyId = keyIdOf({ provider, clusterId, lineage, version })
  const ciphertext = joinCiphertext(encodeHeader({ provider, version, lineage }), wrapped)
  return { ciphertext, keyId, annotations: annotationsOf({ clusterId, keyId }, ciphertext) }
}

function withBitFlipped(bytes: Uint8Array, bit: number): Uint8Array {
  return Uint8Array.from(bytes, (byte, index) => (index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
}

function bitsOf(bytes: Uint8Array): readonly number[] {
  return Array.from({ length: bytes.byteLength * 8 }, (_, bit) => bit)
}

describe('a request as it was made', () => {
  it('is decrypted', async () => {
    const test = await testService()
    const response = await test.service.decrypt({ ...(await encrypted(test)), uid: 'd' }, CALL)
    expect(response.plaintext.equals(seed())).toBe(true)
    expect(test.backend.calls.decrypt).toBe(1)
  })

  it('is decrypted by another node that has looked at the key', async () => {
    const test = await testService()
    const made = await encrypted(test)
    const other = kmsV2Service({
      backend: test.backend,
      clusterId: CLUSTER_ID,
      ...knowing(test.told.life),
    })
    expect((await other.decrypt({ ...made, uid: 'd' }, CALL)).plaintext.equals(seed())).toBe(true)
  })

  it('is decrypted whichever version made it that is not retired', async () => {
    const test = await testService()
    const first = await encrypted(test)
    test.backend.rotate()
    await test.observe()
    // A node that has begun with it already.
    const nowMs = START_MS + 2 * POLICY.activationDelayMs
    const options = { backend: test.backend, clusterId: CLUSTER_ID, policy: POLICY, nowMs, turn: 0 }
    const { life } = await lookAtKey(null, { ...options, newPlaintext: () => seed() }, CALL)
    const other = kmsV2Service({ backend: test.backend, clusterId: CLUSTER_ID, ...knowing(life) })
    const second = await other.encrypt({ plaintext: seed(9), uid: 'e' }, CALL)
    expect((await test.service.decrypt({ ...second, uid: 'd' }, CALL)).plaintext.equals(seed(9))).toBe(true)
    await test.observe(600_000)
    expect(test.service.status().keyId).toBe(second.keyId)
    expect((await test.service.decrypt({ ...first, uid: 'd' }, CALL)).plaintext.equals(seed())).toBe(true)
  })

  it.each(['кластер-1', 'cluster 🏰', 'e\u0301', '\u0000', ' ', '集群'.repeat(200)])(
    'is decrypted in a cluster that is called %j, and in no other',
    async clusterId => {
      const test = await testService({ clusterId })
      const made = await encrypted(test)
      expect((await test.service.decrypt({ ...made, uid: 'd' }, CALL)).plaintext.equals(seed())).toBe(true)
      const others = await testService({ clusterId: clusterId.normalize('NFC') + ' ' })
      expect(await refusalOf(others, made)).toBe('KMS_KEY_ID_UNKNOWN')
    },
  )
})

describe('a changed request is refused without asking the backend', () => {
  it('for every bit of the ciphertext', async () => {
    const test = await testService()
    const made = await encrypted(test)
    for (const bit of bitsOf(made.ciphertext)) {
      const code = await refusalOf(test, { ...made, ciphertext: withBitFlipped(made.ciphertext, bit) })
      // Bytes 6 to 26, version and lineage, are what the key id is made of. Version 1 without its only bit is 0.
      const isIdentity = bit >= 6 * 8 && bit < 26 * 8 && bit !== 9 * 8
      expect([bit, code]).toEqual([bit, isIdentity ? 'KMS_KEY_ID_UNKNOWN' : 'KMS_CIPHERTEXT_REFUSED'])
    }
  })

  it('for every bit of the annotation', async () => {
    const test = await testService()
    const made = await encrypted(test)
    const binding = made.annotations.get(BINDING_ANNOTATION) ?? new Uint8Array()
    expect(binding).toHaveLength(32)
    for (const bit of bitsOf(binding)) {
      const annotations = new Map([[BINDING_ANNOTATION, withBitFlipped(binding, bit)]])
      expect([bit, await refusalOf(test, { ...made, annotations })]).toEqual([bit, 'KMS_CIPHERTEXT_REFUSED'])
    }
  })

  it('for every bit of the key id', async () => {
    const test = await testService()
    const made = await encrypted(test)
    const bytes = Buffer.from(made.keyId, 'latin1')
    for (const bit of bitsOf(bytes)) {
      const keyId = Buffer.from(withBitFlipped(bytes, bit)).toString('latin1')
      expect([bit, await refusalOf(test, { ...made, keyId })]).toEqual([bit, 'KMS_KEY_ID_UNKNOWN'])
    }
  })

  it('for every truncation of the ciphertext, and for bytes left over', async () => {
    const test = await testService()
    const made = await encrypted(test)
    for (let length = 0; length < made.ciphertext.byteLength; length += 1) {
      const ciphertext = made.ciphertext.subarray(0, length)
      expect([length, await refusalOf(test, { ...made, ciphertext })]).toEqual([length, 'KMS_CIPHERTEXT_REFUSED'])
    }
    for (const more of [1, 16, 1024 - made.ciphertext.byteLength, 1025 - made.ciphertext.byteLength, 1 << 20]) {
      const ciphertext = joinCiphertext(made.ciphertext, new Uint8Array(more))
      expect([more, await refusalOf(test, { ...made, ciphertext })]).toEqual([more, 'KMS_CIPHERTEXT_REFUSED'])
    }
  })

  it.each<readonly [string, (binding: Uint8Array) => readonly (readonly [string, Uint8Array])[]]>([
    ['no annotation', () => []],
    [
      'one more',
      binding => [
        [BINDING_ANNOTATION, binding],
        ['other.example.org', Uint8Array.of(1)],
      ],
    ],
    [
      'one more without contents',
      binding => [
        [BINDING_ANNOTATION, binding],
        ['other.example.org', new Uint8Array()],
      ],
    ],
    ['another name', binding => [['binding.kms.sealwright.example', binding]]],
    ['a name in capitals', binding => [[BINDING_ANNOTATION.toUpperCase(), binding]]],
    ['a name with a dot at its end', binding => [[`${BINDING_ANNOTATION}.`, binding]]],
    ['an empty annotation', () => [[BINDING_ANNOTATION, new Uint8Array()]]],
    ['a short annotation', binding => [[BINDING_ANNOTATION, binding.subarray(0, 31)]]],
    ['a long annotation', binding => [[BINDING_ANNOTATION, joinCiphertext(binding, Uint8Array.of(0))]]],
    ['a zeroed annotation', () => [[BINDING_ANNOTATION, new Uint8Array(32)]]],
  ])('for %s', async (_case, annotationsFrom) => {
    const test = await testService()
    const made = await encrypted(test)
    const binding = made.annotations.get(BINDING_ANNOTATION) ?? new Uint8Array()
    const annotations = new Map(annotationsFrom(binding))
    expect(await refusalOf(test, { ...made, annotations })).toBe('KMS_CIPHERTEXT_REFUSED')
  })

  it('for the annotation or the ciphertext of another request', async () => {
    const test = await testService()
    const [one, two] = [await encrypted(test), await encrypted(test)]
    expect(await refusalOf(test, { ...one, annotations: two.annotations })).toBe('KMS_CIPHERTEXT_REFUSED')
    expect(await refusalOf(test, { ...one, ciphertext: two.ciphertext })).toBe('KMS_CIPHERTEXT_REFUSED')
  })

  it('for the key id of another version', async () => {
    const test = await testService()
    const first = await encrypted(test)
    test.backend.rotate()
    await test.observe()
    await test.observe(600_000)
    const second = await encrypted(test)
    expect(second.keyId).not.toBe(first.keyId)
    expect(await refusalOf(test, { ...first, keyId: second.keyId })).toBe('KMS_KEY_ID_UNKNOWN')
    expect(await refusalOf(test, { ...second, keyId: first.keyId })).toBe('KMS_KEY_ID_UNKNOWN')
  })

  it.each(['', 'sealwright.v1.', 'x'.repeat(1024), 'ключ', '\ud800', 'sealwright.v1.\u0000'])(
    'for the key id %j',
    async keyId => {
      const test = await testService()
      expect(await refusalOf(test, { ...(await encrypted(test)), keyId })).toBe('KMS_KEY_ID_UNKNOWN')
    },
  )

  it('for a space or a line break around its key id', async () => {
    const test = await testService()
    const made = await encrypted(test)
    for (const keyId of [` ${made.keyId}`, `${made.keyId}\n`, `${made.keyId}=`, made.keyId.toLowerCase()]) {
      expect(await refusalOf(test, { ...made, keyId })).toBe('KMS_KEY_ID_UNKNOWN')
    }
  })
})

describe('a whole request of somebody else is refused without asking the backend', () => {
  it('when it is of another cluster, or of another provider', async () => {
    const test = await testService()
    const lineage = test.told.life?.versions[0]?.lineage
    if (lineage === undefined) throw new Error('no version is known')
    expect(await refusalOf(test, forged(1, { lineage, clusterId: 'staging' }))).toBe('KMS_KEY_ID_UNKNOWN')
    expect(await refusalOf(test, forged(1, { lineage, provider: 'keyring' }))).toBe('KMS_KEY_ID_UNKNOWN')
  })

  it('when its version is one that we know, of another key', async () => {
    const test = await testService()
    expect(await refusalOf(test, forged(1, { lineage: new Uint8Array(16).fill(3) }))).toBe('KMS_KEY_ID_UNKNOWN')
  })

  it.each([2, 1_000, MAX_KEY_VERSION])(
    'when its version is %d, and nobody has seen it: then it asks to look',
    async version => {
      const test = await testService()
      expect(await refusalOf(test, forged(version, {}))).toBe('KMS_KEY_ID_UNKNOWN')
      expect(test.surprises()).toBe(1)
    },
  )

  it('and asks for no look when the request is damaged, whatever version it names', async () => {
    const test = await testService()
    const request = forged(9, {})
    await refusalOf(test, { ...request, annotations: new Map() })
    await refusalOf(test, { ...request, keyId: `${request.keyId}x` })
    expect(test.surprises()).toBe(0)
  })

  it('when it was made by a version that was retired, or dropped before we came', async () => {
    const test = await testService()
    const first = await encrypted(test)
    test.backend.rotate()
    await test.observe()
    await test.observe(600_000)
    test.backend.setOldestDecryptable(2)
    await test.observe()
    expect(await refusalOf(test, first)).toBe('KMS_VERSION_RETIRED')
    test.told.life = null
    await test.observe()
    expect(await refusalOf(test, first)).toBe('KMS_VERSION_RETIRED')
    expect(test.surprises()).toBe(0)
    test.backend.setOldestDecryptable(1)
    await test.observe()
    expect((await test.service.decrypt({ ...first, uid: 'd' }, CALL)).plaintext.equals(seed())).toBe(true)
  })

  it.each([
    ['transit', /min_decryption_version/, /sealctl kms keyring/],
    ['keyring', /sealctl kms keyring restore/, /min_decryption_version|OpenBao/],
  ] as const)('and says how its retirement is taken back, for %s', async (provider, way, otherWay) => {
    const test = await testService({ provider })
    const first = await encrypted(test)
    test.backend.rotate()
    await test.observe()
    await test.observe(600_000)
    test.backend.setOldestDecryptable(2)
    await test.observe()
    const error = await errorOf(() => test.service.decrypt({ ...first, uid: 'd' }, CALL))
    expect(test.backend.calls.decrypt).toBe(0)
    expect([error?.code, error?.message]).toEqual(['KMS_VERSION_RETIRED', expect.stringMatching(way)])
    expect(error?.message).not.toMatch(otherWay)
  })

  it('by memory only as long as it is known to be right: a backend that has gone back is asked', async () => {
    const test = await testService()
    const first = await encrypted(test)
    const backup = test.backend.backUp()
    test.backend.rotate()
    await test.observe()
    await test.observe(600_000)
    test.backend.setOldestDecryptable(2)
    const { versions, ...rest } = await test.observe()
    test.backend.restore(backup)
    const decrypts = () => codeOf(() => test.service.decrypt({ ...first, uid: 'd' }, CALL))
    expect(await decrypts()).toBe('KMS_VERSION_RETIRED')
    expect(test.backend.calls.decrypt).toBe(0)
    for (let count = 0; count < CONVINCING_DOUBTS; count += 1) {
      await test.observe()
      expect(await decrypts()).toBe('none')
    }
    expect(test.told.life?.trouble?.kind).toBe('went-back')
    // A node that never saw it.
    test.told.life = { ...rest, versions: versions.filter(({ version }) => version > 1) }
    test.told.hasLooked = false
    expect(await decrypts()).toBe('none')
    test.backend.setOldestDecryptable(2)
    expect(await decrypts()).toBe('KMS_VERSION_RETIRED')
  })

  it('not by what somebody wrote into the state', async () => {
    const test = await testService()
    const made = await encrypted(test)
    const invented = { version: 4_000_000_000, lineage: new Uint8Array(16), createdAtMs: 1, sample: null }
    test.told.life = {
      versions: [{ ...invented, phase: 'active' }],
      ...{ former: [], stableObservations: 0, doubts: 0, trouble: null },
    }
    for (let count = 0; count < CONVINCING_DOUBTS; count += 1) await test.observe()
    expect((await test.service.decrypt({ ...made, uid: 'd' }, CALL)).plaintext.equals(seed())).toBe(true)
  })

  it('while the key was never seen', async () => {
    const test = await testService()
    const made = await encrypted(test)
    test.told.life = null
    expect(await refusalOf(test, made)).toBe('KMS_NOT_READY')
    expect(await refusalOf(test, { ...made, keyId: 'x' })).toBe('KMS_KEY_ID_UNKNOWN')
  })
})

describe('when the key was replaced', () => {
  const codeFor = ({ service }: TestService, made: EncryptResponse) =>
    codeOf(() => service.decrypt({ ...made, uid: 'd' }, CALL))

  it.each(['replaceKey', 'replaceKeyUnseen'] as const)(
    'what it encrypted before that was noticed is decrypted, what the old one did is called gone, and comes back with it (%s)',
    async replace => {
      const test = await testService()
      const first = await encrypted(test, 1)
      const backup = test.backend.backUp()
      test.backend[replace]()
      const between = await encrypted(test, 2)
      await test.observe()
      expect(await codeFor(test, between)).toBe('none')
      expect(await codeFor(test, first)).toBe('KMS_KEY_GONE')
      test.backend.restore(backup)
      expect((await test.observe()).trouble).toBeNull()
      expect(await codeFor(test, first)).toBe('none')
      expect(await codeFor(test, between)).toBe('KMS_CIPHERTEXT_REFUSED')
    },
  )

  it('what another node encrypts that remembers nothing is decrypted', async () => {
    const test = await testService()
    test.backend.replaceKey()
    await test.observe()
    const { told } = test
    const known = told.life
    told.life = null
    await test.observe()
    const theirs = await encrypted(test)
    told.life = known
    expect(await codeFor(test, theirs)).toBe('none')
    expect(test.surprises()).toBe(0)
  })

  it('and an operator has taken the new one: what both encrypted goes to the backend, which tells what it can', async () => {
    const test = await testService()
    const first = await encrypted(test)
    test.backend.replaceKey()
    const between = await encrypted(test)
    const life = await test.observe()
    test.told.life = {
      ...adoptKey({ provider: 'transit', clusterId: CLUSTER_ID, life }).life,
      ...{ doubts: 0, trouble: null },
    }
    expect(await codeFor(test, between)).toBe('none')
    await test.observe()
    const after = await encrypted(test)
    expect(after.keyId).not.toBe(first.keyId)
    expect(await codeFor(test, after)).toBe('none')
    expect(await codeFor(test, between)).toBe('none')
    expect(await codeFor(test, first)).toBe('KMS_KEY_GONE')
  })

  it('nothing of a key that nobody knows is asked of the backend', async () => {
    const test = await testService()
    test.backend.replaceKey()
    await test.observe()
    expect(await refusalOf(test, forged(1, { lineage: new Uint8Array(16).fill(3) }))).toBe('KMS_KEY_ID_UNKNOWN')
  })

  it('and nothing was looked at since it was taken, data of others has to wait for a look', async () => {
    const test = await testService()
    const life = await test.observe()
    test.told.life = {
      ...adoptKey({ provider: 'transit', clusterId: CLUSTER_ID, life }).life,
      ...{ doubts: 0, trouble: null },
    }
    expect(await refusalOf(test, forged(1, { lineage: new Uint8Array(16).fill(3) }))).toBe('KMS_NOT_READY')
  })
})

describe('what only the backend can tell', () => {
  it('is a forgery whose sums all fit', async () => {
    const test = await testService()
    const lineage = test.told.life?.versions[0]?.lineage
    if (lineage === undefined) throw new Error('no version is known')
    expect(await codeOf(() => test.service.decrypt({ uid: 'd', ...forged(1, { lineage }) }, CALL))).toBe(
      'KMS_CIPHERTEXT_REFUSED',
    )
    expect(test.backend.calls.decrypt).toBe(1)
  })

  it('is a wrapped key that was made with the same key for another cluster', async () => {
    const test = await testService()
    const made = await encrypted(test)
    const lineage = test.told.life?.versions[0]?.lineage
    if (lineage === undefined) throw new Error('no version is known')
    const there = kmsV2Service({
      backend: test.backend,
      clusterId: 'staging',
      ...knowing(test.told.life),
    })
    const moved = forged(1, { lineage, clusterId: 'staging', wrapped: made.ciphertext.subarray(26) })
    expect(await codeOf(() => there.decrypt({ uid: 'd', ...moved }, CALL))).toBe('KMS_CIPHERTEXT_REFUSED')
    expect(test.backend.calls.decrypt).toBe(1)
  })

  it('is that the key is not as it was seen last, which it asks to look at again then', async () => {
    const test = await testService()
    const made = await encrypted(test)
    test.backend.setOldestDecryptable(2)
    expect(await codeOf(() => test.service.decrypt({ ...made, uid: 'd' }, CALL))).toBe('KMS_VERSION_RETIRED')
    expect(test.surprises()).toBe(1)
    test.backend.setOldestDecryptable(1)
    test.backend.replaceKeyUnseen()
    expect(await codeOf(() => test.service.decrypt({ ...made, uid: 'd' }, CALL))).toBe('KMS_CIPHERTEXT_REFUSED')
    expect(test.surprises()).toBe(2)
    test.backend.setOldestEncryptable(2)
    expect(await codeOf(() => encrypted(test))).toBe('KMS_KEY_GONE')
    expect(test.surprises()).toBe(3)
    test.backend.failWith(new KmsError('KMS_BACKEND_UNAVAILABLE', 'told to'))
    expect(await codeOf(() => encrypted(test))).toBe('KMS_BACKEND_UNAVAILABLE')
    expect(test.surprises()).toBe(3)
  })

  it('is handed on as it is when the backend fails', async () => {
    const test = await testService()
    const made = await encrypted(test)
    const failure = new Error('connect ECONNREFUSED 10.0.0.1:8200')
    test.backend.failWith(failure)
    await expect(test.service.decrypt({ ...made, uid: 'd' }, CALL)).rejects.toBe(failure)
  })

  it('is not taken for a plaintext when its length cannot be, and is wiped', async () => {
    const test = await testService()
    const made = await encrypted(test)
    for (const byteLength of [0, 257]) {
      const bytes = seed().clone()
      Object.defineProperty(bytes, 'byteLength', { value: byteLength })
      const backend: KmsBackend = { ...test.backend, decrypt: () => Promise.resolve(bytes) }
      const service = kmsV2Service({ backend, clusterId: CLUSTER_ID, ...knowing(test.told.life) })
      expect(await codeOf(() => service.decrypt({ ...made, uid: 'd' }, CALL))).toBe('KMS_BACKEND_BROKEN')
      expect(() => bytes.reveal(inside => inside)).toThrow(TypeError)
    }
  })
})

describe('a refusal', () => {
  it('says nothing of the request, the key or the backend', async () => {
    const test = await testService()
    const made = await encrypted(test)
    const requests = [
      { ...made, keyId: 'marker-in-key-id' },
      { ...made, ciphertext: made.ciphertext.subarray(1) },
      { ...made, annotations: new Map([['marker-in-annotation', Uint8Array.of(1)]]) },
      forged(4_242, {}),
    ]
    for (const request of requests) {
      const message = (await errorOf(() => test.service.decrypt({ uid: 'marker-in-uid', ...request }, CALL)))?.message
      expect(message).toMatch(/^[a-z][a-z ,:;A-Z]+$/)
      expect(message).not.toMatch(/marker|4242|transit|production/)
    }
  })
})
