import { type CheckedEvent, type CheckpointKey, checkEvent } from '@sealwright/audit'

/** Something to be written, with the time at which it happened. */
export type WaitingEntry =
  | { readonly kind: 'event'; readonly event: CheckedEvent; readonly timeMs: number }
  | { readonly kind: 'checkpoint'; readonly checkpointKey: CheckpointKey; readonly timeMs: number }

/** Entries that wait for the disk, up to a bound. What does not fit is counted, and the count takes its place in the row. */
export interface WaitingRoom {
  /** Whether there was room. */
  add(entry: WaitingEntry): boolean
  /** Counts an event that is lost for another reason. */
  countLost(timeMs: number): void
  /** The first entries, which stay until {@link WaitingRoom.release}. */
  first(count: number): readonly WaitingEntry[]
  /** Forgets the first entries: they are on the disk. */
  release(count: number, timeMs: number): void
  isEmpty(): boolean
  /** Entries that wait, and lost events that no entry tells of yet. */
  count(): number
}

/** Makes a room for at most `maxEntries` entries, and one more that tells of lost ones. */
export function waitingRoom(maxEntries: number): WaitingRoom {
  const entries: WaitingEntry[] = []
  let lost = 0

  function tellOfLost(timeMs: number): void {
    if (lost === 0 || entries.length >= maxEntries) return
    entries.push({ kind: 'event', event: checkEvent({ kind: 'events-lost', count: lost }), timeMs })
    lost = 0
  }

  return {
    add(entry) {
      if (entries.length >= maxEntries) {
        if (entry.kind === 'event') lost += 1
        return false
      }
      entries.push(entry)
      return true
    },
    countLost(timeMs) {
      lost += 1
      tellOfLost(timeMs)
    },
    first: count => entries.slice(0, count),
    release(count, timeMs) {
      entries.splice(0, count)
      tellOfLost(timeMs)
    },
    isEmpty: () => entries.length === 0,
    count: () => entries.length + lost,
  }
}
