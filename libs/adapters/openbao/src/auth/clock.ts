/** Time for leases. It never jumps; only differences mean something. */
export interface Clock {
  readonly nowMs: () => number
  /** Calls `run` once, later. Returns what takes that back. A call that waits keeps no program alive. */
  readonly after: (delayMs: number, run: () => void) => () => void
}

/** The machine's steady clock. It stands still while the machine sleeps: a lease may be over before it says so. */
export const steadyClock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs)
    timer.unref()
    return () => {
      clearTimeout(timer)
    }
  },
}
