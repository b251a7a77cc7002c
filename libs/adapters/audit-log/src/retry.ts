/** A pause before the next try, longer each time. It does not keep the process alive. */
export interface Retry {
  /** Starts a pause, after which the work is tried again. */
  failed(): void
  /** The next pause is a short one again. */
  succeeded(): void
  isWaiting(): boolean
  /** Ends the pause without a try. */
  cancel(): void
}

/** Makes one that calls `again` after each pause. */
export function retryTimer(pauseMs: { readonly first: number; readonly longest: number }, again: () => void): Retry {
  let nextMs = pauseMs.first
  let timer: NodeJS.Timeout | undefined
  function cancel(): void {
    clearTimeout(timer)
    timer = undefined
  }
  return {
    failed() {
      cancel()
      timer = setTimeout(() => {
        timer = undefined
        again()
      }, nextMs)
      timer.unref()
      nextMs = Math.min(nextMs * 2, pauseMs.longest)
    },
    succeeded() {
      nextMs = pauseMs.first
    },
    isWaiting: () => timer !== undefined,
    cancel,
  }
}
