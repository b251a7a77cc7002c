import { type KeyObservation, type KeyVersion } from './backend.ts'
import { activeVersion, isSameVersion, type KeyLife, type KnownVersion, type SampledVersion } from './key-life.ts'

/**
 * Samples show that a version is still the same key: the number stays when a key is deleted and made anew, and so does the lineage within
 * one second. What a sample was made of is kept by nobody; that the backend takes it as authentic is all that counts. Pure.
 */

/** A version with its sample. */
export interface Sample extends KeyVersion {
  readonly sample: Uint8Array
}

/**
 * The samples that a look lets the backend decrypt: of the active version, of the newest, of one that was replaced, of former ones that
 * seem to be back; and one of the rest each time.
 *
 * @param turn - counts the looks.
 */
export function samplesToTry(known: KeyLife | null, observation: KeyObservation, turn: number): readonly Sample[] {
  if (known === null) return []
  const { versions, former, trouble } = known
  const newest = versions.at(-1)
  const isAlways = (version: KnownVersion): boolean =>
    version.phase === 'active' ||
    version === newest ||
    (trouble?.kind === 'replaced' && trouble.version === version.version)
  const isThere = presenceIn(observation)
  const there = versions.filter(isThere)
  const rest = there.filter(version => version.sample !== null && !isAlways(version))
  const isBack = (one: SampledVersion): boolean =>
    isThere(one) && versions.every(({ version }) => version !== one.version)
  return [...there.filter(isAlways), ...inTurn(rest, turn), ...former.filter(isBack)].flatMap(
    ({ version, lineage, createdAtMs, sample }) => (sample === null ? [] : [{ version, lineage, createdAtMs, sample }]),
  )
}

/**
 * Versions that a look takes a sample of, or tries out once more, beside the newest: the active one, and one each time of those that have
 * none. What does not encrypt any more gets none.
 */
export function versionsToSample(life: KeyLife, observation: KeyObservation, turn: number): readonly KnownVersion[] {
  const active = activeVersion(life)
  const isThere = presenceIn(observation)
  const withoutOne = life.versions.filter(
    version =>
      version !== active &&
      version.sample === null &&
      version.version >= observation.oldestEncryptable &&
      isThere(version),
  )
  return [...(active === undefined ? [] : [active]), ...inTurn(withoutOne, turn)]
}

/** Keeps what was taken for versions that have none. A key in trouble gives no samples: they may be another's. */
export function keepSamples(life: KeyLife, taken: ReadonlyMap<number, Uint8Array>): KeyLife {
  const isNew = ({ version, sample }: KnownVersion): boolean => sample === null && taken.has(version)
  if (life.trouble !== null || !life.versions.some(isNew)) return life
  return {
    ...life,
    versions: life.versions.map(version => ({
      ...version,
      sample: version.sample ?? taken.get(version.version) ?? null,
    })),
  }
}

/** Tells whether a version is there, and may be decrypted by. */
function presenceIn({ versions, oldestDecryptable }: KeyObservation): (version: KeyVersion) => boolean {
  const seen = new Map(versions.map(version => [version.version, version]))
  return version => {
    const one = seen.get(version.version)
    return version.version >= oldestDecryptable && one !== undefined && isSameVersion(one, version)
  }
}

function inTurn<T>(items: readonly T[], turn: number): readonly T[] {
  return items.length === 0 ? [] : items.slice(turn % items.length, (turn % items.length) + 1)
}
