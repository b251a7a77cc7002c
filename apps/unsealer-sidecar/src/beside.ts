/** Something that runs until it is told to stop. */
export interface Running extends AsyncDisposable {
  /** Resolves when it was told to stop, and rejects with anything else that ended it. */
  readonly ended: Promise<void>
}

/** Starts `work`; it is told to stop, and waited for, when `signal` is aborted or the result is disposed of. */
export function runBeside(signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Running {
  const stop = new AbortController()
  const limit = AbortSignal.any([signal, stop.signal])
  const ended = work(limit).catch((error: unknown) => {
    if (!limit.aborted) throw error
  })
  // Somebody may look at it only later; until then a failure must not count as unhandled.
  const settled = ended.catch(() => undefined)
  return {
    ended,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await settled
    },
  }
}
