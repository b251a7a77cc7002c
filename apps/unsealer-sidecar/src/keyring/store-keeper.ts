import { sameBytes } from '@sealwright/bytes'
import { decodeKeyring, encodeKeyring, type Keyring, KeyringError, type OpenKeyring } from '@sealwright/keyring'
import { createLine, openKeyringStore } from '@sealwright/node-seals'
import { StoreError } from '@sealwright/seal-store'

export interface StoreKeeperDependencies {
  readonly path: string
  readonly held: () => OpenKeyring | undefined
  /** Unites what is held with what the store has. */
  readonly merge: (stored: Keyring) => void
  /**
   * Opens a keyring through a seal of this node for real; throws unless one opens it, and unless it may take the place of what the store
   * has.
   */
  readonly prove: (keyring: Keyring, stored: Keyring | undefined, signal: AbortSignal) => Promise<void>
  readonly onKept: (keyring: Keyring) => void | Promise<void>
  readonly onFailed: (error: KeyringError | StoreError) => void
}

/** Something new, that must be stored before it is used. */
export interface Proposal {
  readonly keyring: OpenKeyring
  /** More that must hold of what is read back, beside that a seal opens it. */
  readonly prove?: (keyring: Keyring, signal: AbortSignal) => Promise<void>
}

/** Keeps in the store what the agent has learned. */
export interface StoreKeeper {
  /**
   * Writes what is held into the store, united with what is there, unless that is the same. Trouble with the store is told, not
   * thrown: the agent serves on, and the next call tries again.
   *
   * @param next - instead of what is held. Then trouble is thrown.
   */
  keep(signal: AbortSignal, next?: Proposal): Promise<void>
}

/** Makes a keeper. Calls of `keep` run one after another. */
export function storeKeeper(dependencies: StoreKeeperDependencies): StoreKeeper {
  const { path, held, merge, prove, onKept, onFailed } = dependencies
  const inLine = createLine()

  const write = async (signal: AbortSignal, next: Proposal | undefined): Promise<void> => {
    if (held() === undefined) return
    await using store = await openKeyringStore(path, { create: true })
    const stored = await store.readKeyring()
    const storedKeyring = stored === undefined ? undefined : decodeKeyring(stored)
    // Another process may have written meanwhile; and never is a keyring of another cluster overwritten.
    if (storedKeyring !== undefined) merge(storedKeyring)
    const now = held()
    const keyring =
      next === undefined ? now?.keyring : now === undefined ? undefined : now.mergedWith(next.keyring).keyring
    if (keyring === undefined) return
    const bytes = encodeKeyring(keyring)
    if (stored !== undefined && sameBytes(stored, bytes)) return
    await store.writeKeyring({
      bytes,
      expectedCurrent: stored,
      signal,
      prove: async bytesReadBack => {
        const readBack = decodeKeyring(bytesReadBack)
        await prove(readBack, storedKeyring, signal)
        await next?.prove?.(readBack, signal)
      },
    })
    await onKept(keyring)
  }

  return {
    keep: (signal, next) =>
      inLine(async () => {
        try {
          await write(signal, next)
        } catch (error) {
          signal.throwIfAborted()
          const isTrouble = error instanceof KeyringError || error instanceof StoreError
          if (!isTrouble || next !== undefined) throw error
          onFailed(error)
        }
      }),
  }
}
