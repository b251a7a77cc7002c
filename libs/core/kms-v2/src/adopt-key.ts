import { type SampledVersion } from './key-life.ts'
import { byNumberAndLineage, type KmsState } from './state.ts'

/**
 * Gives the key up that a node remembers, for whatever key the backend has: all its versions become former ones, and the next look is a
 * first look. What they encrypted is still decrypted, should the backend be able to; if the next look finds them again, they are known
 * as before.
 *
 * @see docs/formats/kms-state.md §5
 */
export function adoptKey(state: KmsState): KmsState {
  const { versions, former } = state.life
  const given: readonly SampledVersion[] = versions.map(({ version, lineage, createdAtMs, sample }) => ({
    version,
    lineage,
    createdAtMs,
    sample,
  }))
  return {
    ...state,
    life: { stableObservations: 0, versions: [], former: [...former, ...given].sort(byNumberAndLineage) },
  }
}
