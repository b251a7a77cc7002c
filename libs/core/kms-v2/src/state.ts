import { hash } from 'node:crypto'
import * as v from 'valibot'
import { type KmsProvider } from './backend.ts'
import { MAX_WRAPPED_BYTES } from './ciphertext.ts'
import { KmsStateError } from './errors.ts'
import { LINEAGE_BYTES, MAX_KEY_VERSION } from './key-id.ts'
import { isSameVersion, type KeyLife, type SampledVersion } from './key-life.ts'

/** What a node remembers of its key. Nothing in it is secret; losing it loses nothing that cannot be seen again. */
export interface KmsState {
  readonly provider: KmsProvider
  readonly clusterId: string
  readonly life: RememberedLife
}

/** What the next look does not tell by itself. */
export type RememberedLife = Pick<KeyLife, 'stableObservations' | 'versions' | 'former'>

const FORMAT = 'sealwright kms state'
const FORMAT_VERSION = 1
/** Name of the file in the folder that the configuration names. */
export const KMS_STATE_FILE = 'kms-state.json'
/** Longest state that is read, in bytes: a new version every hour for ten years, each with a sample of a hundred bytes. */
export const MAX_STATE_BYTES = 33_554_432

/** Of SHA-256. */
const CHECKSUM_BYTES = 32

const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER))
const versionNumber = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_KEY_VERSION))

const hex = (byteLength: number) => v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${byteLength * 2}}$`)))
/** That it is the one spelling of its bytes is left to the comparison of the whole text. */
const sample = v.pipe(
  v.string(),
  v.transform(bytesOfBase64),
  v.check(({ byteLength }) => byteLength >= 1 && byteLength <= MAX_WRAPPED_BYTES, 'must have a possible length'),
)
const sampledVersion = {
  version: versionNumber,
  lineage: v.pipe(hex(LINEAGE_BYTES), v.transform(bytesOfHex)),
  createdAtMs: count,
  sample: v.nullable(sample),
}

const envelope = v.looseObject({ format: v.literal(FORMAT), formatVersion: versionNumber })
const stateFields = v.strictObject({
  format: v.literal(FORMAT),
  formatVersion: v.literal(FORMAT_VERSION),
  provider: v.picklist(['transit', 'keyring']),
  clusterId: v.pipe(v.string(), v.nonEmpty()),
  stableObservations: count,
  versions: v.pipe(
    v.array(v.strictObject({ ...sampledVersion, phase: v.picklist(['pending', 'active', 'retiring', 'retired']) })),
    v.check(
      versions => versions.length === 0 || versions.filter(({ phase }) => phase === 'active').length === 1,
      'must have one active version',
    ),
    v.check(
      versions => versions.every(({ version }, index) => index === 0 || version > (versions[index - 1]?.version ?? 0)),
      'must be in the order of their numbers',
    ),
    v.check(versions => {
      const active = versions.find(({ phase }) => phase === 'active')?.version ?? 0
      return versions.every(({ version, phase }) => phase === 'active' || (phase === 'pending') === version > active)
    }, 'must wait if they are newer than the active one, and only then'),
  ),
  former: v.pipe(
    v.array(v.strictObject(sampledVersion)),
    v.check(
      former => former.every((one, index) => index === 0 || isAscending(former[index - 1], one)),
      'must be in the order of their numbers and lineages',
    ),
  ),
  checksum: hex(CHECKSUM_BYTES),
})

/** The state as the text of a file. */
export function encodeState({ provider, clusterId, life: { stableObservations, versions, former } }: KmsState): string {
  const state = {
    format: FORMAT,
    formatVersion: FORMAT_VERSION,
    provider,
    clusterId,
    stableObservations,
    versions: versions.map(version => ({ ...fieldsOf(version), phase: version.phase })),
    former: former.map(fieldsOf),
  }
  return spelled({ ...state, checksum: hash('sha256', spelled(state)) })
}

/**
 * Reads a state. One state has one spelling, the one that {@link encodeState} writes.
 *
 * @param text - the whole file, up to {@link MAX_STATE_BYTES}.
 * @throws {@link KmsStateError} `KMS_STATE_MALFORMED`, `KMS_STATE_FROM_FUTURE`.
 * @see docs/formats/kms-state.md §2
 */
export function parseState(text: string): KmsState {
  if (Buffer.byteLength(text) > MAX_STATE_BYTES) throw malformed('it is too long')
  const value = parseJson(text)
  const known = v.safeParse(envelope, value)
  if (!known.success) throw malformed('it is none of ours')
  if (known.output.formatVersion > FORMAT_VERSION) {
    throw new KmsStateError(
      'KMS_STATE_FROM_FUTURE',
      `the state has format ${known.output.formatVersion}, and this program knows up to ${FORMAT_VERSION}: it was written by a newer one`,
    )
  }
  const result = v.safeParse(stateFields, value)
  if (!result.success) throw malformed(v.getDotPath(result.issues[0]) ?? 'its fields')
  const { provider, clusterId, stableObservations, versions, former } = result.output
  if (former.some(one => versions.some(version => isSameVersion(version, one)))) throw malformed('former')
  const state: KmsState = { provider, clusterId, life: { stableObservations, versions, former } }
  // A flipped bit, a field given twice, a line break lost at the end: what stands there is not what was written.
  if (encodeState(state) !== text) throw malformed('it is damaged, or not in its one spelling')
  return state
}

function fieldsOf({ version, lineage, createdAtMs, sample: made }: SampledVersion) {
  return {
    version,
    lineage: Buffer.from(lineage).toString('hex'),
    createdAtMs,
    sample: made === null ? null : Buffer.from(made).toString('base64'),
  }
}

function spelled(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** The order of former versions. */
export function byNumberAndLineage(a: SampledVersion, b: SampledVersion): number {
  return a.version - b.version || Buffer.compare(a.lineage, b.lineage)
}

function isAscending(before: SampledVersion | undefined, one: SampledVersion): boolean {
  return before === undefined || byNumberAndLineage(before, one) < 0
}

function bytesOfHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

function bytesOfBase64(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'base64'))
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformed('it is no JSON')
  }
}

function malformed(what: string): KmsStateError {
  return new KmsStateError('KMS_STATE_MALFORMED', `the state cannot be read: ${what}`)
}
