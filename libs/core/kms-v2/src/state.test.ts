import { fromHex, readVectors } from '@sealwright/testing-vectors'
import fc from 'fast-check'
import { adoptKey } from './adopt-key.ts'
import { type KmsProvider } from './backend.ts'
import { MAX_WRAPPED_BYTES } from './ciphertext.ts'
import { KmsStateError } from './errors.ts'
import { MAX_KEY_VERSION } from './key-id.ts'
import { isSameVersion, type KnownVersion, type SampledVersion, type VersionPhase } from './key-life.ts'
import { byNumberAndLineage, encodeState, type KmsState, MAX_STATE_BYTES, parseState } from './state.ts'

const vectors = readVectors('kms-v2', 'states.json', {
  provider: 'text',
  clusterId: 'text',
  stableObservations: 'number',
  versions: 'json',
  former: 'json',
  text: 'text',
})
const refused = readVectors('kms-v2', 'refused-states.json', { text: 'text', code: 'text' })

interface WrittenVersion {
  readonly version: number
  readonly lineage: string
  readonly createdAtMs: number
  readonly sample: string | null
}

function versionOf({ lineage, sample, ...each }: WrittenVersion): SampledVersion {
  return { ...each, lineage: fromHex(lineage), sample: sample === null ? null : fromBase64(sample) }
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'base64'))
}

/** The code of the error that reading ends with. */
function codeOf(text: string): string {
  try {
    parseState(text)
  } catch (error) {
    if (error instanceof KmsStateError) return error.code
    throw error
  }
  return 'none'
}

describe('a state as documented', () => {
  it.each(vectors)('is written and read: $name', ({ provider, clusterId, text, ...vector }) => {
    const state: KmsState = {
      provider: provider as KmsProvider,
      clusterId,
      life: {
        stableObservations: vector.stableObservations,
        versions: (vector.versions as readonly (WrittenVersion & Pick<KnownVersion, 'phase'>)[]).map(each => ({
          ...versionOf(each),
          phase: each.phase,
        })),
        former: (vector.former as readonly WrittenVersion[]).map(versionOf),
      },
    }
    expect(encodeState(state)).toBe(text)
    expect(parseState(text)).toEqual(state)
  })

  it.each(refused)('is refused: $name', ({ text, code }) => {
    expect(codeOf(text)).toBe(code)
  })
})

describe('any state', () => {
  const sample = fc.option(fc.uint8Array({ minLength: 1, maxLength: MAX_WRAPPED_BYTES }))
  const versions = fc
    .uniqueArray(fc.integer({ min: 1, max: MAX_KEY_VERSION }), { minLength: 1 })
    .chain(numbers =>
      fc.record({
        numbers: fc.constant(numbers.toSorted((a, b) => a - b)),
        active: fc.nat({ max: numbers.length - 1 }),
        lineage: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        createdAtMs: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        sample,
        older: fc.constantFrom<VersionPhase>('retiring', 'retired'),
      }),
    )
    .map(({ numbers, active, older, ...rest }) =>
      numbers.map((version, index) => ({
        version,
        ...rest,
        phase: index === active ? ('active' as const) : index > active ? ('pending' as const) : older,
      })),
    )
  const former = fc
    .uniqueArray(
      fc.record({
        version: fc.integer({ min: 1, max: 3 }),
        lineage: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        createdAtMs: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        sample,
      }),
      { selector: ({ version, lineage }) => `${version} ${lineage.join()}` },
    )
    .map(given => given.toSorted(byNumberAndLineage))
  const states: fc.Arbitrary<KmsState> = fc.record({
    provider: fc.constantFrom<KmsProvider>('transit', 'keyring'),
    clusterId: fc.string({ unit: 'binary', minLength: 1 }),
    life: fc
      .record({ stableObservations: fc.nat({ max: Number.MAX_SAFE_INTEGER }), versions, former })
      .filter(life => !life.former.some(one => life.versions.some(version => isSameVersion(version, one)))),
  })

  it('is read as it was written', () => {
    fc.assert(
      fc.property(states, state => {
        expect(parseState(encodeState(state))).toEqual(state)
      }),
    )
  })

  it('can be given up for another key', () => {
    fc.assert(
      fc.property(states, state => {
        const adopted = adoptKey(state)
        expect(parseState(encodeState(adopted))).toEqual(adopted)
        expect(adopted.life.former).toHaveLength(state.life.former.length + state.life.versions.length)
      }),
    )
  })

  it('is not read when its end is missing, wherever it ends', () => {
    for (const { text } of vectors.slice(0, 3)) {
      for (let length = 0; length < text.length; length += 1) {
        expect([length, codeOf(text.slice(0, length))]).toEqual([length, 'KMS_STATE_MALFORMED'])
      }
    }
  })

  it('is not read when a character was changed', () => {
    const [text] = vectors.map(vector => vector.text)
    if (text === undefined) throw new Error('there is no first vector')
    const change = fc.record({ at: fc.nat({ max: text.length - 1 }), to: fc.string({ minLength: 1, maxLength: 1 }) })
    fc.assert(
      fc.property(change, ({ at, to }) => {
        fc.pre(text[at] !== to)
        const code = codeOf(text.slice(0, at) + to + text.slice(at + 1))
        expect(['KMS_STATE_MALFORMED', 'KMS_STATE_FROM_FUTURE']).toContain(code)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('the size of a state', () => {
  /** More than any backend makes of 32 bytes. */
  const SAMPLE_BYTES = 100

  function stateOf(versionCount: number): string {
    const versions = Array.from({ length: versionCount }, (_, index) => ({
      version: index + 1,
      lineage: new Uint8Array(16),
      createdAtMs: 1_700_000_000_000,
      sample: new Uint8Array(SAMPLE_BYTES),
      phase: index === 0 ? ('active' as const) : ('pending' as const),
    }))
    return encodeState({ provider: 'transit', clusterId: 'c', life: { stableObservations: 0, versions, former: [] } })
  }

  it('is enough for a version every hour for ten years', () => {
    const text = stateOf(10 * 366 * 24)
    expect(text.length).toBeLessThan(MAX_STATE_BYTES)
    expect(parseState(text).life.versions).toHaveLength(10 * 366 * 24)
  })

  it('has an end, in bytes', () => {
    expect(codeOf(' '.repeat(MAX_STATE_BYTES + 1))).toBe('KMS_STATE_MALFORMED')
    expect(() => parseState('\u00e9'.repeat(MAX_STATE_BYTES / 2 + 1))).toThrow('it is too long')
  })
})

describe('a refusal', () => {
  it('says where, and nothing of what stands there', () => {
    const [text] = vectors.map(vector => vector.text)
    expect(() => parseState((text ?? '').replace('"active"', '"marker"'))).toThrow(
      'the state cannot be read: versions.0.phase',
    )
    expect(() => parseState('{"format": "sealwright kms state", "formatVersion": 7, "more": "marker"}')).toThrow(
      'the state has format 7, and this program knows up to 1: it was written by a newer one',
    )
  })
})
