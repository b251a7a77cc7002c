import { once } from 'node:events'

/** Resolves when the signal fires, or at once if it has. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort')
}
