import { CKR_SESSION_HANDLE_INVALID } from '../ckr.ts'
import { call, ckrFailure, type LoadedModule } from './cryptoki.ts'

/**
 * Read-only sessions with one token. A session does one operation at a time; whoever finds none free waits.
 *
 * The login belongs to the token and ends with its last session, so that a session is never closed before another is open.
 */
export type SessionPool = {
  /** Lends a session. After a failure it is replaced: an aborted operation may be active on it for ever. */
  use<T>(work: (session: Buffer) => T | Promise<T>): Promise<T>
  /** Ends the sessions that are free, and the others when they come back. */
  close(): void
}

/**
 * Opens `count` sessions with the token in a slot.
 *
 * @throws RequestFailure if the first one cannot be opened. A token that has only fewer serves with these.
 */
export function openSessionPool(loaded: LoadedModule, slot: Buffer, count: number): SessionPool {
  const { lib, cryptoki } = loaded
  const open = (): Buffer => call(loaded, 'C_OpenSession', () => lib.C_OpenSession(slot, cryptoki.CKF_SERIAL_SESSION))
  const free: Buffer[] = [open()]
  const waiting: ((session: Buffer | undefined) => void)[] = []
  let openCount = 1
  let isClosed = false
  while (openCount < count) {
    const more = openMore()
    if (more === undefined) break
    free.push(more)
    openCount += 1
  }

  function openMore(): Buffer | undefined {
    try {
      return open()
    } catch {
      // One session fewer changes nothing for those that work.
      return undefined
    }
  }

  function closeSession(session: Buffer): void {
    try {
      lib.C_CloseSession(session)
    } catch {
      // It is lost already, which is all that was wanted.
      return
    }
  }

  function giveBack(session: Buffer): void {
    if (isClosed) {
      closeSession(session)
      return
    }
    const next = waiting.shift()
    if (next === undefined) free.push(session)
    else next(session)
  }

  function replace(session: Buffer): void {
    const fresh = isClosed ? undefined : openMore()
    closeSession(session)
    if (fresh !== undefined) {
      giveBack(fresh)
      return
    }
    openCount -= 1
    // With no session left nobody would ever be served.
    if (openCount === 0) for (const next of waiting.splice(0)) next(undefined)
  }

  async function take(): Promise<Buffer> {
    const session =
      free.shift() ??
      (openCount > 0 && !isClosed ? await new Promise<Buffer | undefined>(resolve => waiting.push(resolve)) : undefined)
    if (session === undefined) {
      throw ckrFailure('CKR_SESSION_HANDLE_INVALID', CKR_SESSION_HANDLE_INVALID, 'C_OpenSession')
    }
    return session
  }

  return {
    use: async work => {
      const session = await take()
      try {
        const result = await work(session)
        giveBack(session)
        return result
      } catch (error) {
        replace(session)
        throw error
      }
    },
    close: () => {
      isClosed = true
      for (const session of free.splice(0)) closeSession(session)
      for (const next of waiting.splice(0)) next(undefined)
    },
  }
}
