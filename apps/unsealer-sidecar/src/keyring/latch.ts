/** Something that happens once, and that many may wait for. */
export interface Latch {
  open(): void
  /** Resolves when it opens, after `timeoutMs`, or when `signal` is aborted: the caller looks for itself which. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>
}

/**
 * Makes a latch. A wait that is over leaves nothing behind: racing one promise that may stay open for weeks would keep a
 * reaction for every race.
 */
export function createLatch(): Latch {
  const waiting = new Set<() => void>()
  let isOpen = false
  return {
    open() {
      isOpen = true
      for (const release of waiting) release()
    },
    wait(timeoutMs, signal) {
      if (isOpen || signal.aborted) return Promise.resolve()
      return new Promise(resolve => {
        const release = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', release)
          waiting.delete(release)
          resolve()
        }
        const timer = setTimeout(release, timeoutMs)
        signal.addEventListener('abort', release, { once: true })
        waiting.add(release)
      })
    },
  }
}
