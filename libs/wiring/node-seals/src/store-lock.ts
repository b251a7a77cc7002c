import { lstat } from 'node:fs/promises'
import { openKeyringStore } from './store.ts'
import { StoreError, type StoreLock } from '@sealwright/seal-store'
import { hasErrorCode } from '@sealwright/system-error'

/** Keeps a second agent off the store. */
export interface AgentLock extends AsyncDisposable {
  /**
   * Takes the lock unless it is held already. Where another folder lies at the path by now, that one is locked instead.
   *
   * @returns `false` while there is no store to lock.
   * @throws {StoreError} `STORE_IN_USE`, and the other codes of opening and locking.
   */
  ensure(signal: AbortSignal): Promise<boolean>
}

/** A lock, and which folder it is of. */
interface Held extends AsyncDisposable {
  readonly folderId: string
}

/** Makes the lock of one store; it is taken by the first `ensure` that finds the store. */
export function agentLock(storePath: string): AgentLock {
  let held: Held | undefined
  let isDisposed = false
  /** Asked again after each wait: meanwhile it may have changed. */
  const isHeld = (): boolean => held !== undefined
  const isGivenUp = (): boolean => isDisposed
  return {
    async ensure(signal) {
      if (isDisposed) return false
      const folderId = await folderIdOf(storePath)
      if (held !== undefined) {
        if (folderId === held.folderId) return true
        // The store was moved away, and takes its lock with it.
        const former = held
        held = undefined
        await former[Symbol.asyncDispose]()
      }
      if (folderId === undefined) return false
      try {
        await using store = await openKeyringStore(storePath, { create: false })
        const lock: StoreLock = await store.lockForAgent({ signal })
        if (isGivenUp() || isHeld()) {
          // Given up, or taken by another call, while we waited.
          await lock[Symbol.asyncDispose]()
          return isHeld()
        }
        held = { folderId, [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose]() }
        return true
      } catch (error) {
        if (error instanceof StoreError && error.code === 'STORE_NOT_FOUND') return false
        throw error
      }
    },
    async [Symbol.asyncDispose]() {
      isDisposed = true
      await held?.[Symbol.asyncDispose]()
    },
  }
}

/** What tells one folder from another at the same path; `undefined` if there is none. */
async function folderIdOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await lstat(path, { bigint: true })
    return `${dev}:${ino}`
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw new StoreError('STORE_UNREADABLE', `cannot look at ${path}`, { cause: error })
  }
}
