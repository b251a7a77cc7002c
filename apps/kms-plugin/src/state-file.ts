import { rename } from 'node:fs/promises'
import { kmsStatePath, readKmsState, writeKmsState } from '@sealwright/kms-backends'
import { type KmsState, KmsStateError } from '@sealwright/kms-v2'

/** What was found at the start. */
export type FoundState =
  | { readonly kind: 'none' }
  | { readonly kind: 'read'; readonly state: KmsState }
  /** Damaged: it was moved aside, or should have been. */
  | { readonly kind: 'damaged'; readonly movedTo: string | null; readonly cause: unknown }
  /** Of a newer program, out of reach, or open to others: it is left alone. */
  | { readonly kind: 'unusable'; readonly cause: unknown }

/** The file that a node remembers its key in. Losing it loses nothing that cannot be seen again, so no failure here ends anything. */
export interface StateFile {
  readonly read: () => Promise<FoundState>
  /**
   * Replaces it: the old one or the new one is there at any moment, whole.
   *
   * @throws {KmsStateFileError} `KMS_STATE_UNSAFE`; what the file system throws; and always, if `read` has found it unusable, why it is.
   */
  readonly write: (state: KmsState) => Promise<void>
}

/** @param directory - absolute; made if it is not there. */
export function stateFile(directory: string, now: () => number): StateFile {
  const path = kmsStatePath(directory)
  /** Why it is left alone: a newer program's state may say what we do not understand. It is not written over. */
  let unusable: { readonly cause: unknown } | null = null

  const moveAside = async (): Promise<string | null> => {
    const movedTo = `${path}.damaged-${now()}`
    try {
      await rename(path, movedTo)
      return movedTo
    } catch {
      return null // a read-only folder: the damaged file is written over once that is possible
    }
  }

  return {
    read: async () => {
      try {
        const state = await readKmsState(directory)
        return state === null ? { kind: 'none' } : { kind: 'read', state }
      } catch (cause) {
        if (cause instanceof KmsStateError && cause.code === 'KMS_STATE_MALFORMED') {
          return { kind: 'damaged', movedTo: await moveAside(), cause }
        }
        unusable = { cause }
        return { kind: 'unusable', cause }
      }
    },
    write: async state => {
      if (unusable !== null) throw unusable.cause
      await writeKmsState(directory, state)
    },
  }
}
