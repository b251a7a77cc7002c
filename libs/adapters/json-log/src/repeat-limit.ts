/** Keeps the same news from being told again and again. */
export interface RepeatLimit {
  /** How many of this kind were held back since the last one that was told, or `null` if this one is held back too. */
  admit(kind: string): number | null
  /** Forgets the kinds that begin with `prefix`: the next one of them is told. */
  clear(prefix?: string): void
}

/**
 * Lets the first of each kind through, and then one an interval.
 *
 * Kinds must come from a closed list, since each is remembered.
 *
 * @param options.now - milliseconds of any clock.
 */
export function createRepeatLimit(options: { readonly intervalMs: number; readonly now: () => number }): RepeatLimit {
  const { intervalMs, now } = options
  const told = new Map<string, { atMs: number; heldBack: number }>()
  return {
    admit(kind) {
      const last = told.get(kind)
      const atMs = now()
      // A clock that was set back must not silence us for as long.
      if (last !== undefined && atMs >= last.atMs && atMs - last.atMs < intervalMs) {
        last.heldBack += 1
        return null
      }
      told.set(kind, { atMs, heldBack: 0 })
      return last?.heldBack ?? 0
    },
    clear(prefix = '') {
      for (const kind of told.keys()) {
        if (kind.startsWith(prefix)) told.delete(kind)
      }
    },
  }
}
