/** What a call takes beside its message, in nghttp2, in Node and here: 5 to 7 KB, measured. */
export const CALL_BYTES = 8 * 1024
/** Each connection has so much even when all is used up: seven calls of usual size. */
const RESERVED_BYTES = 64 * 1024
/** Each call waits a moment for its client; nobody is cut off for less. */
const MIN_WAIT_MS = 100

/** A connection, as the one that makes calls. */
export class Caller {
  /** Of its open calls. */
  heldBytes = 0
  openCalls = 0
  /** Grows from call to call, over all connections; 0 if it has made none. */
  lastCall = 0
  isCut = false
  readonly cut: () => void

  /** @param cut - ends the connection. */
  constructor(cut: () => void) {
    this.cut = cut
  }
}

/** What one call holds, from its headers until its stream is closed. */
export class HeldMemory {
  readonly caller: Caller
  /** When it became the client's turn. */
  waitsSinceMs = 0
  readonly #memory: CallMemory
  #heldBytes = CALL_BYTES

  constructor(memory: CallMemory, caller: Caller) {
    this.#memory = memory
    this.caller = caller
    caller.openCalls += 1
    memory.add(caller, CALL_BYTES)
  }

  /**
   * Says what its message takes now. It counts, whether there was room or not.
   *
   * @returns whether there is.
   */
  resize(messageBytes: number): boolean {
    const change = CALL_BYTES + messageBytes - this.#heldBytes
    this.#heldBytes += change
    this.#memory.add(this.caller, change)
    return this.#memory.hasRoomFor(this.caller)
  }

  /** It is the client's turn from now on: to send the rest, or to take the answer. */
  waitForClient(): void {
    this.#memory.startWait(this)
  }

  /** It is ours again. */
  clientHasCome(): void {
    this.#memory.endWait(this)
  }

  release(): void {
    this.#memory.endWait(this)
    this.caller.openCalls -= 1
    this.#memory.add(this.caller, -this.#heldBytes)
    this.#heldBytes = 0
  }
}

/**
 * Bounds the memory that the calls of all connections take together.
 *
 * When it is used up, the connection is cut whose client has kept a call waiting for longest: a caller in earnest sends a request in
 * one go, and takes its answer.
 */
export class CallMemory {
  readonly #maxBytes: number
  readonly #now: () => number
  #usedBytes = 0
  /** Calls whose client's turn it is, the one that has waited for longest first. */
  readonly #waiting = new Set<HeldMemory>()

  /** @param now - milliseconds of a clock that never goes back. */
  constructor(maxBytes: number, now: () => number) {
    this.#maxBytes = maxBytes
    this.#now = now
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  add(caller: Caller, bytes: number): void {
    // All that a connection held was taken off when it was cut.
    if (caller.isCut) return
    caller.heldBytes += bytes
    this.#usedBytes += bytes
  }

  startWait(held: HeldMemory): void {
    this.#waiting.delete(held)
    held.waitsSinceMs = this.#now()
    this.#waiting.add(held)
  }

  endWait(held: HeldMemory): void {
    this.#waiting.delete(held)
  }

  /** Whether a connection may hold what it holds. Makes room if there is none, as far as it can. */
  hasRoomFor(caller: Caller): boolean {
    return this.#usedBytes <= this.#maxBytes || this.#makeRoom() || caller.heldBytes <= RESERVED_BYTES
  }

  #makeRoom(): boolean {
    const waitedTooLongMs = this.#now() - MIN_WAIT_MS
    for (const { caller, waitsSinceMs } of this.#waiting) {
      if (waitsSinceMs > waitedTooLongMs) break
      if (caller.isCut) continue
      this.#usedBytes -= caller.heldBytes
      caller.isCut = true
      caller.cut()
      if (this.#usedBytes <= this.#maxBytes) return true
    }
    return false
  }
}
