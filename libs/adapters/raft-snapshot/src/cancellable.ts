import { RaftSnapshotError } from './errors.ts'

/**
 * The items of `input` until it ends, fails or is cancelled. A cancellation does not wait for an item that never comes. The
 * input is closed in any case.
 *
 * @throws {@link RaftSnapshotError} `RAFT_SNAPSHOT_CANCELLED`, `RAFT_SNAPSHOT_INPUT_FAILED` with the cause.
 */
export async function* cancellable<Item>(input: AsyncIterable<Item>, signal: AbortSignal): AsyncGenerator<Item> {
  const iterator = input[Symbol.asyncIterator]()
  // Made anew for each item: a promise that lives as long as the input would collect a listener per item.
  let giveUp: (reason: unknown) => void = () => undefined
  const onAbort = (): void => {
    giveUp(cancelled(signal))
  }
  const next = async (): Promise<IteratorResult<Item>> =>
    await new Promise((resolve, reject) => {
      giveUp = reject
      if (signal.aborted) reject(cancelled(signal))
      else iterator.next().then(resolve, reject)
    })

  let ended = false
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    for (;;) {
      const step = await next()
      ended = step.done === true
      if (step.done === true) return
      yield step.value
    }
  } catch (cause) {
    if (cause instanceof RaftSnapshotError) throw cause
    ended = true
    throw new RaftSnapshotError(
      'RAFT_SNAPSHOT_INPUT_FAILED',
      'the bytes of the snapshot stopped coming: take or fetch it again',
      { cause },
    )
  } finally {
    signal.removeEventListener('abort', onAbort)
    if (!ended) close(iterator)
  }
}

/** Not waited for, since an iterator that hangs would hang its caller; what it says at its end changes no verdict. */
function close(iterator: AsyncIterator<unknown>): void {
  iterator.return?.().catch(() => undefined)
}

function cancelled(signal: AbortSignal): RaftSnapshotError {
  return new RaftSnapshotError('RAFT_SNAPSHOT_CANCELLED', 'reading the snapshot was cancelled by the caller', {
    cause: signal.reason,
  })
}
