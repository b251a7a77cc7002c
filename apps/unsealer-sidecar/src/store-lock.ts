import { openKeyringStore } from '@sealwright/node-seals'
import { StoreError, type StoreLock } from '@sealwright/seal-store'

/** Keeps a second agent off the store. */
export interface AgentLock extends AsyncDisposable {
  /**
   * Takes the lock unless it is held already.
   *
   * @returns `false` while there is no store to lock yet.
   * @throws {StoreError} `STORE_IN_USE`, and the other codes of opening and locking.
   */
  ensure(signal: AbortSignal): Promise<boolean>
}

/** Makes the lock of one store; it is taken by the first `ensure` that finds the store. */
export function agentLock(storePath: string): AgentLock {
  let held: StoreLock | undefined
  return {
    async ensure(signal) {
      if (held !== undefined) return true
      try {
        await using store = await openKeyringStore(storePath, { create: false })
        held = await store.lockForAgent({ signal })
        return true
      } catch (error) {
        if (error instanceof StoreError && error.code === 'STORE_NOT_FOUND') return false
        throw error
      }
    },
    async [Symbol.asyncDispose]() {
      await held?.[Symbol.asyncDispose]()
    },
  }
}
