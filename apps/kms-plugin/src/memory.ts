import { type KeyLife, type KmsProvider, type KmsState } from '@sealwright/kms-v2'
import { KmsPluginError } from './errors.ts'
import { type FoundState, type StateFile } from './state-file.ts'

/** Whose key it is. */
export interface KeyOwner {
  readonly clusterId: string
  readonly provider: KmsProvider
}

/**
 * What a node remembers of its key; null if nothing.
 *
 * @throws {@link KmsPluginError} `KMS_STATE_OTHER_KEY`: data that was encrypted by that key could not be decrypted by this one.
 */
export function rememberedLife(found: FoundState, owner: KeyOwner): KeyLife | null {
  if (found.kind !== 'read') return null
  const { state } = found
  if (state.clusterId === owner.clusterId && state.provider === owner.provider)
    return { ...state.life, doubts: 0, trouble: null }
  throw new KmsPluginError(
    'KMS_STATE_OTHER_KEY',
    `the state is of the cluster ${state.clusterId} with a ${state.provider} key, the configuration says ${owner.clusterId} and ${owner.provider}: ` +
      'correct clusterId and backend, or name another stateDirectory for another key',
  )
}

/** Keeps a state file up to date, one write after another. */
export interface KeyMemory {
  readonly remember: (life: KeyLife) => void
  /** Writes once more what could not be written. */
  readonly tryAgain: () => void
  /** When nothing is being written any more. */
  readonly settled: () => Promise<void>
}

/** @param onWritten - told of each attempt: null, or why it failed. */
export function keyMemory(file: StateFile, owner: KeyOwner, onWritten: (failure: unknown) => void): KeyMemory {
  let wanted: KmsState | null = null
  let writing: Promise<void> | null = null

  const writeAll = async (): Promise<void> => {
    while (wanted !== null) {
      const state = wanted
      try {
        await file.write(state)
        if (wanted === state) wanted = null
        onWritten(null)
      } catch (cause) {
        onWritten(cause)
        return
      }
    }
  }

  const tryAgain = (): void => {
    if (wanted === null || writing !== null) return
    writing = writeAll().finally(() => {
      writing = null
    })
  }

  return {
    remember: ({ versions, former, stableObservations }) => {
      wanted = { ...owner, life: { versions, former, stableObservations } }
      tryAgain()
    },
    tryAgain,
    settled: async () => {
      await writing
    },
  }
}
