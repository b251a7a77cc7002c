/** A deadline that progress puts off. */
export interface Deadline {
  /** Aborted when it has passed. */
  readonly signal: AbortSignal
  /** Begins it anew. */
  readonly extend: () => void
  readonly clear: () => void
}

export function createDeadline(timeoutMs: number): Deadline {
  const controller = new AbortController()
  const timer = setTimeout(() => {
    controller.abort()
  }, timeoutMs)
  return {
    signal: controller.signal,
    extend: () => timer.refresh(),
    clear: () => {
      clearTimeout(timer)
    },
  }
}
