import { fromHex, readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'
import { type KmsBackend, type KmsProvider } from './backend.ts'
import {
  BINDING_ANNOTATION,
  encodeHeader,
  joinCiphertext,
  MAX_WRAPPED_BYTES,
  parseCiphertext,
  sampleAssociatedDataOf,
} from './ciphertext.ts'
import { LINEAGE_BYTES, MAX_KEY_VERSION } from './key-id.ts'
import { type KeyLife, type VersionPhase } from './key-life.ts'
import { kmsV2Service } from './service-of-backend.ts'
import { CALL, CLUSTER_ID, codeOf, knowing, seed } from './testing/test-service.ts'

const vectors = readVectors('kms-v2', 'ciphertexts.json', {
  provider: 'text',
  clusterId: 'text',
  lineage: 'hex',
  version: 'number',
  wrapped: 'hex',
  keyId: 'text',
  associatedData: 'hex',
  sampleAssociatedData: 'hex',
  ciphertext: 'hex',
  binding: 'hex',
})

const refused = readVectors('kms-v2', 'refused.json', {
  keyId: 'text',
  ciphertext: 'hex',
  annotations: 'json',
  code: 'text',
})

/** A backend that gives `wrapped` for whatever it is asked, and writes down what it was given. */
function recordingBackend(provider: KmsProvider, wrapped: Uint8Array): { backend: KmsBackend; given: string[] } {
  const given: string[] = []
  const unexpected = (): never => {
    throw new Error('nobody should ask for this')
  }
  const backend: KmsBackend = {
    provider,
    observe: unexpected,
    encrypt: ({ version, associatedData }) => {
      given.push(`encrypt ${version} ${toHex(associatedData)}`)
      return Promise.resolve(wrapped)
    },
    decrypt: ({ version, associatedData, ...options }) => {
      given.push(`decrypt ${version} ${toHex(associatedData)} ${toHex(options.wrapped)}`)
      return Promise.resolve(seed())
    },
    [Symbol.asyncDispose]: unexpected,
  }
  return { backend, given }
}

function lifeOf(
  versions: readonly { readonly version: number; readonly lineage: Uint8Array; readonly phase: VersionPhase }[],
): KeyLife {
  return {
    versions: versions.map(each => ({ ...each, createdAtMs: 0, sample: null })),
    former: [],
    stableObservations: 1,
    doubts: 0,
    trouble: null,
  }
}

describe('a request as documented', () => {
  it.each(vectors)('is written and read: $name', async vector => {
    const provider = vector.provider as KmsProvider
    const { clusterId, lineage, version, wrapped } = vector
    const life = lifeOf([{ version, lineage, phase: 'active' }])
    const { backend, given } = recordingBackend(provider, wrapped)
    const service = kmsV2Service({ backend, clusterId, ...knowing(life) })

    const made = await service.encrypt({ plaintext: seed(), uid: 'e' }, CALL)
    expect({ ...made, ciphertext: toHex(made.ciphertext) }).toEqual({
      keyId: vector.keyId,
      ciphertext: toHex(vector.ciphertext),
      annotations: expect.any(Map) as unknown,
    })
    expect([...made.annotations].map(([name, value]) => [name, toHex(value)])).toEqual([
      [BINDING_ANNOTATION, toHex(vector.binding)],
    ])

    const annotations = new Map([[BINDING_ANNOTATION, vector.binding]])
    const request = { ciphertext: vector.ciphertext, keyId: vector.keyId, annotations, uid: 'd' }
    expect((await service.decrypt(request, CALL)).plaintext.equals(seed())).toBe(true)
    const associatedData = toHex(vector.associatedData)
    expect(given).toEqual([
      `encrypt ${version} ${associatedData}`,
      `decrypt ${version} ${associatedData} ${toHex(wrapped)}`,
    ])
  })

  it.each(vectors)('has associated data for samples: $name', ({ clusterId, lineage, version, ...vector }) => {
    const provider = vector.provider as KmsProvider
    expect(toHex(sampleAssociatedDataOf({ provider, clusterId, lineage, version }))).toBe(
      toHex(vector.sampleAssociatedData),
    )
  })

  it.each(refused)('is refused without asking the backend: $name', async vector => {
    const lineage = vectors[0]?.lineage
    if (lineage === undefined) throw new Error('there is no first vector')
    const life = lifeOf([
      { version: 2, lineage, phase: 'retired' },
      { version: 3, lineage, phase: 'retiring' },
      { version: 4, lineage, phase: 'active' },
      { version: 5, lineage, phase: 'pending' },
    ])
    const { backend, given } = recordingBackend('transit', new Uint8Array(60))
    const service = kmsV2Service({ backend, clusterId: CLUSTER_ID, ...knowing(life) })
    const annotations = new Map(
      Object.entries(vector.annotations as Record<string, string>).map(([name, value]) => [name, fromHex(value)]),
    )
    const request = { ciphertext: vector.ciphertext, keyId: vector.keyId, annotations, uid: 'd' }
    expect(await codeOf(() => service.decrypt(request, CALL))).toBe(vector.code)
    expect(given).toEqual([])
  })
})

describe('a ciphertext', () => {
  const fields = fc.record({
    provider: fc.constantFrom<KmsProvider>('transit', 'keyring'),
    version: fc.integer({ min: 1, max: MAX_KEY_VERSION }),
    lineage: fc.uint8Array({ minLength: LINEAGE_BYTES, maxLength: LINEAGE_BYTES }),
    wrapped: fc.uint8Array({ minLength: 1, maxLength: MAX_WRAPPED_BYTES, size: 'max' }),
  })

  it('gives back the fields that it was made of, wherever in a larger buffer it lies', () => {
    fc.assert(
      fc.property(fields, fc.nat({ max: 9 }), ({ wrapped, ...identity }, offset) => {
        const header = encodeHeader(identity)
        const larger = Buffer.alloc(2_000, 0xee)
        larger.set(joinCiphertext(header, wrapped), offset)
        const parsed = parseCiphertext(larger.subarray(offset, offset + header.byteLength + wrapped.byteLength))
        expect(parsed).toMatchObject({ provider: identity.provider, version: identity.version })
        expect(toHex(parsed.lineage)).toBe(toHex(identity.lineage))
        expect(toHex(parsed.wrapped)).toBe(toHex(wrapped))
        expect(toHex(parsed.header)).toBe(toHex(header))
      }),
    )
  })

  it('is one whenever its bytes can be read, and then the only one of these fields', async () => {
    const start = joinCiphertext(
      encodeHeader({ provider: 'transit', version: 1, lineage: new Uint8Array(16) }),
      Uint8Array.of(1),
    )
    const change = fc.tuple(fc.nat({ max: start.byteLength - 1 }), fc.integer({ min: 0, max: 255 }))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 3 }), async changes => {
        const bytes = Uint8Array.from(start)
        for (const [offset, byte] of changes) bytes[offset] = byte
        const code = await codeOf(() => parseCiphertext(bytes))
        if (code === 'none') {
          const parsed = parseCiphertext(bytes)
          expect(toHex(joinCiphertext(encodeHeader(parsed), parsed.wrapped))).toBe(toHex(bytes))
        } else expect(code).toBe('KMS_CIPHERTEXT_REFUSED')
      }),
    )
  })
})
