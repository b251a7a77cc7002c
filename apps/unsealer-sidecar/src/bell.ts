/** Wakes one waiter. Rung while nobody waits, it wakes the next one at once; rung twice, it still wakes once. */
export interface Bell {
  ring(): void
  /** Resolves when it was rung, or after `timeoutMs`; rejects when `signal` is aborted. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>
}

export function createBell(): Bell {
  let wasRung = false
  let wake: (() => void) | undefined
  return {
    ring() {
      wasRung = true
      wake?.()
    },
    async wait(timeoutMs, signal) {
      signal.throwIfAborted()
      if (!wasRung) {
        await new Promise<void>(resolve => {
          const done = (): void => {
            clearTimeout(timer)
            signal.removeEventListener('abort', done)
            wake = undefined
            resolve()
          }
          const timer = setTimeout(done, timeoutMs)
          signal.addEventListener('abort', done, { once: true })
          wake = done
        })
      }
      signal.throwIfAborted()
      wasRung = false
    },
  }
}
