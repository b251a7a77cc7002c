import { type KeyObservation, type KeyVersion } from './backend.ts'
import { sameBytes } from '@sealwright/bytes'
import { KmsError } from './errors.ts'
import { LINEAGE_BYTES, MAX_KEY_VERSION } from './key-id.ts'
import { type KeyTrouble } from './trouble.ts'

/**
 * The life of the versions of one key, as one node sees it: pending → active → retiring → retired. Pure.
 *
 * All nodes look at the same key and at its own dates, so they come to the same end without talking to each other. The active version
 * never becomes an older one, unless an operator takes another key.
 */

/** Where a version stands: `pending` is seen and waits; `active` encrypts; `retiring` only decrypts; `retired` does nothing more. */
export type VersionPhase = 'pending' | 'active' | 'retiring' | 'retired'

/** A version with what proves later that it is still the same key. */
export interface SampledVersion extends KeyVersion {
  /** What the backend made of random bytes by this version, 1 to 998 bytes; null before this node has seen it do so. */
  readonly sample: Uint8Array | null
}

/** One version that this node has seen, ever. */
export interface KnownVersion extends SampledVersion {
  readonly phase: VersionPhase
}

export interface KeyLife {
  /** In the order of their numbers; exactly one is active. None at all as long as nothing usable was seen. */
  readonly versions: readonly KnownVersion[]
  /** Of keys that were given up for another: they encrypt nothing, and decrypt what their backend still can. By number, then lineage. */
  readonly former: readonly SampledVersion[]
  /** How many times in a row the newest version was seen as the newest, and worked; counted up to what the policy asks for. */
  readonly stableObservations: number
  /** How many times in a row fewer versions than are known, or no key, were seen, up to {@link CONVINCING_DOUBTS}. */
  readonly doubts: number
  readonly trouble: KeyTrouble | null
}

export interface RotationPolicy {
  /** So many observations in a row before a new version becomes active. */
  readonly stableObservations: number
  /** And not before it is so old, in milliseconds: every node must have seen it by then. */
  readonly activationDelayMs: number
}

/** What came of trying the key out, beside what the backend says of it. */
export interface KeyTrials {
  /** Whether the newest version gave back what it had encrypted. */
  readonly newestWorks: boolean
  /** Versions whose sample the backend refuses: behind the same number and lineage is another key. */
  readonly refused: ReadonlySet<number>
}

export interface ObserveOptions extends KeyTrials {
  /** Milliseconds since 1970. */
  readonly nowMs: number
  readonly policy: RotationPolicy
  /**
   * Whether no look has passed since the program started. Then age alone decides, as where nothing is remembered: what is may be from before
   * versions that all nodes encrypt by now. Default: no.
   */
  readonly isFirst?: boolean
}

/**
 * Looks in a row that must show fewer versions than are known, or no key, before that is believed. A standby that lags behind shows the past for some
 * 60 ms after a rotation; three looks are at least two pauses apart.
 */
export const CONVINCING_DOUBTS = 3

/**
 * What an observation makes of what was known.
 *
 * @param known - null if nothing is: then a version that is old enough is taken as active at once.
 * @throws {@link KmsError} `KMS_BACKEND_BROKEN` if the observation is none that can be; what was known stays as it was.
 */
export function observeKey(known: KeyLife | null, observation: KeyObservation, options: ObserveOptions): KeyLife {
  assertPossible(observation)
  return (known === null ? null : distrusted(known, observation, options)) ?? learnt(known, observation, options)
}

/** What it makes of what was known that the backend has no key there that could be used. */
export function keyNotFound(known: KeyLife): KeyLife {
  return doubted(known, { kind: 'missing' })
}

/** The version that encrypts; undefined before the first observation that found one. */
export function activeVersion(life: KeyLife): KnownVersion | undefined {
  return life.versions.find(({ phase }) => phase === 'active')
}

/** The version that waits to become active: the newest. */
export function pendingVersion(life: KeyLife): KnownVersion | undefined {
  return life.versions.findLast(({ phase }) => phase === 'pending')
}

/** Whether the backend shows less than is known: it lags behind, or has gone back. */
export function showsLess(known: KeyLife, { versions }: KeyObservation): boolean {
  return newestOf(versions) < newestOf(known.versions)
}

export function isSameVersion(one: KeyVersion, other: KeyVersion): boolean {
  return one.version === other.version && sameBytes(one.lineage, other.lineage)
}

/** What is remembered has to be readable again, and a number that is cut off would be another version. */
function assertPossible({ versions }: KeyObservation): void {
  const isPossible = versions.every(
    ({ version, lineage, createdAtMs }, index) =>
      Number.isInteger(version) &&
      version > (versions[index - 1]?.version ?? 0) &&
      version <= MAX_KEY_VERSION &&
      lineage.byteLength === LINEAGE_BYTES &&
      Number.isSafeInteger(createdAtMs) &&
      createdAtMs >= 0,
  )
  if (!isPossible || versions.length === 0) {
    throw new KmsError('KMS_BACKEND_BROKEN', 'the backend described its key in a way that cannot be')
  }
}

/** A key that is not ours any more, or not all of it, teaches us nothing. Null: it is as it was, or has only become more. */
function distrusted(known: KeyLife, observation: KeyObservation, { refused }: KeyTrials): KeyLife | null {
  const { versions } = observation
  const before = byNumber(known.versions)
  const isOther = (seen: KeyVersion): boolean => {
    const one = before.get(seen.version)
    return one !== undefined && (refused.has(seen.version) || !isSameVersion(one, seen))
  }
  const other = versions.find(isOther)
  if (other !== undefined) {
    const trouble: KeyTrouble = { kind: 'replaced', version: other.version, seen: versions }
    return { ...known, stableObservations: 0, doubts: 0, trouble }
  }
  if (!showsLess(known, observation)) return null
  return doubted(known, { kind: 'went-back', newest: newestOf(versions), known: newestOf(known.versions) })
}

/** What is seen once or twice changes nothing. */
function doubted(known: KeyLife, trouble: KeyTrouble): KeyLife {
  const doubts = Math.min(known.doubts + 1, CONVINCING_DOUBTS)
  return doubts < CONVINCING_DOUBTS ? { ...known, doubts } : { ...known, stableObservations: 0, doubts, trouble }
}

function learnt(known: KeyLife | null, observation: KeyObservation, options: ObserveOptions): KeyLife {
  const { nowMs, policy, isFirst = false, newestWorks, refused } = options
  const former = known?.former ?? []
  // What looks like a former version and is another would get its key id: an API server would go on by a seed that nobody decrypts.
  const [others, own] = partition(observation.versions, ({ version }) => refused.has(version))
  const newest = newestOf(own)
  const before = known !== null && newestOf(known.versions) === newest ? known.stableObservations : 0
  const stableObservations = newestWorks ? Math.min(before + 1, policy.stableObservations) : 0
  const provenAtMs = provenTimes(observation.versions, nowMs)
  const isOldEnough = ({ version, createdAtMs }: KeyVersion): boolean =>
    (provenAtMs.get(version) ?? nowMs) - createdAtMs >= policy.activationDelayMs
  const current = known === null ? undefined : activeVersion(known)?.version
  const mayActivate =
    current === undefined || (isFirst && newestWorks) || stableObservations >= policy.stableObservations
  const next = chooseActive({ current, observation: { ...observation, versions: own }, mayActivate, isOldEnough })
  const active = next ?? current
  const [other] = others
  if (active === undefined) {
    const trouble: KeyTrouble =
      other === undefined ? { kind: 'unusable' } : { kind: 'indistinct', version: other.version }
    return { versions: [], former, stableObservations: 0, doubts: 0, trouble }
  }
  const versions = merged(known, own).map(version => ({
    ...version,
    phase: phaseOf(version, active, observation.oldestDecryptable),
  }))
  return {
    versions,
    former: former.filter(each => !versions.some(version => isSameVersion(version, each))),
    stableObservations: next === undefined ? 0 : stableObservations,
    doubts: 0,
    trouble: next === undefined ? { kind: 'unusable' } : null,
  }
}

function chooseActive({
  current,
  observation,
  mayActivate,
  isOldEnough,
}: {
  readonly current: number | undefined
  readonly observation: KeyObservation
  readonly mayActivate: boolean
  readonly isOldEnough: (version: KeyVersion) => boolean
}): number | undefined {
  const { oldestDecryptable, oldestEncryptable } = observation
  // What only encrypts, and does not decrypt any more, would lose data.
  const usable = observation.versions.filter(({ version }) => version >= Math.max(oldestDecryptable, oldestEncryptable))
  const isUsable = usable.some(({ version }) => version === current)
  const settled = mayActivate ? usable.findLast(isOldEnough)?.version : undefined
  if (settled !== undefined && settled > (current ?? 0)) return settled
  if (isUsable) return current
  // The one that encrypted was taken away: the next that is left, without waiting. On a first look it is the oldest that all nodes know.
  return usable.find(({ version }) => version > (current ?? 0))?.version
}

function phaseOf({ version }: KeyVersion, active: number, oldestDecryptable: number): VersionPhase {
  if (version === active) return 'active'
  if (version > active) return 'pending'
  return version < oldestDecryptable ? 'retired' : 'retiring'
}

/**
 * The latest time that is proven by each version. The clock of this node may be behind, or not set yet: that the backend made another version
 * later is as good a sign.
 */
function provenTimes(versions: readonly KeyVersion[], nowMs: number): ReadonlyMap<number, number> {
  const times = new Map<number, number>()
  let latestMs = nowMs
  for (const { version, createdAtMs } of versions.toReversed()) {
    times.set(version, latestMs)
    latestMs = Math.max(latestMs, createdAtMs)
  }
  return times
}

/** What was known, and what is new, in the order of their numbers. A former version that has come back brings its sample. */
function merged(known: KeyLife | null, seen: readonly KeyVersion[]): readonly SampledVersion[] {
  const before = byNumber(known?.versions ?? [])
  const former = known?.former ?? []
  const sampleOf = (version: KeyVersion): Uint8Array | null => {
    const one = before.get(version.version)
    const same =
      one !== undefined && isSameVersion(one, version) ? one : former.find(each => isSameVersion(each, version))
    return same?.sample ?? null
  }
  const all = new Map<number, SampledVersion>(before)
  for (const version of seen) all.set(version.version, { ...version, sample: sampleOf(version) })
  return [...all.values()].sort((a, b) => a.version - b.version)
}

/** Keys with thousands of versions are looked at every few seconds. */
function byNumber<T extends KeyVersion>(versions: readonly T[]): ReadonlyMap<number, T> {
  return new Map(versions.map(version => [version.version, version]))
}

function newestOf(versions: readonly KeyVersion[]): number {
  return versions.reduce((newest, { version }) => Math.max(newest, version), 0)
}

function partition<T>(items: readonly T[], isOne: (item: T) => boolean): readonly [readonly T[], readonly T[]] {
  return [items.filter(isOne), items.filter(item => !isOne(item))]
}
