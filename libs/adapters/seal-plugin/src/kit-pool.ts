import { type SessionKit, isFresh } from './session-kit.ts'

/** Making spares waits this long after one was used: the OpenBao that starts just now needs the processor more. */
const REFILL_DELAY_MS = 500

/**
 * The first spares are made this long after the start: an agent that has just been started opens its seal first. A connector
 * that waits already gets a kit of its own at once.
 */
const FIRST_FILL_DELAY_MS = 150

/** A few session kits made ahead. */
export interface KitPool {
  /** A spare one, or, without a spare, one made now. */
  take(): Promise<SessionKit>
  /** Removes the spares. */
  close(): Promise<void>
}

/** Fills the pool soon, without waiting for it. */
export function createKitPool(parameters: {
  readonly spareKits: number
  readonly make: (count: number) => Promise<readonly SessionKit[]>
  readonly now: () => number
  readonly onFailure: (cause: unknown) => void
}): KitPool {
  const { spareKits, make, now, onFailure } = parameters
  const spares: SessionKit[] = []
  let refilling: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false

  async function refill(): Promise<void> {
    const missing = spareKits - spares.length
    if (missing <= 0) return
    try {
      spares.push(...(await make(missing)))
    } catch (cause) {
      // Not fatal here: a request makes its own kit, and reports its own failure.
      onFailure(cause)
    }
    if (closed) dispose()
  }

  function startRefill(): void {
    timer = undefined
    if (closed || refilling) return
    refilling = refill().finally(() => {
      refilling = undefined
    })
  }

  function dispose(): void {
    for (const kit of spares.splice(0)) kit.replyPipe.close()
  }

  timer = setTimeout(startRefill, FIRST_FILL_DELAY_MS).unref()
  return {
    async take() {
      if (spares.length === 0 && refilling) await refilling
      for (let kit = spares.shift(); kit !== undefined; kit = spares.shift()) {
        timer ??= setTimeout(startRefill, REFILL_DELAY_MS).unref()
        if (isFresh(kit, now())) return kit
        kit.replyPipe.close()
      }
      const [kit] = await make(1)
      timer ??= setTimeout(startRefill, REFILL_DELAY_MS).unref()
      if (kit === undefined) throw new RangeError('one kit was asked for')
      return kit
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await refilling
      dispose()
    },
  }
}
