import { CALL_BYTES, Caller, CallMemory, HeldMemory } from './call-memory.ts'

const MAX_BYTES = 10 * CALL_BYTES
/** Longer than anybody may keep a call waiting when there is no room. */
const LONG_MS = 1_000

let nowMs: number
let memory: CallMemory
let cut: string[]

beforeEach(() => {
  nowMs = 0
  cut = []
  memory = new CallMemory(MAX_BYTES, () => nowMs)
})

function callerNamed(name: string): Caller {
  return new Caller(() => cut.push(name))
}

/** Opens calls that have nothing but their headers. */
function openCalls(caller: Caller, count: number): HeldMemory[] {
  return Array.from({ length: count }, () => new HeldMemory(memory, caller))
}

describe('the memory for calls', () => {
  it('is what all connections hold together, and is given back', () => {
    const [first, second] = [callerNamed('first'), callerNamed('second')]
    const [one, two] = [new HeldMemory(memory, first), new HeldMemory(memory, second)]
    expect(one.resize(1000)).toBe(true)
    expect([memory.usedBytes, first.heldBytes, first.openCalls]).toEqual([2 * CALL_BYTES + 1000, CALL_BYTES + 1000, 1])
    one.resize(10)
    two.release()
    expect([memory.usedBytes, second.heldBytes, second.openCalls]).toEqual([CALL_BYTES + 10, 0, 0])
    one.release()
    expect(memory.usedBytes).toBe(0)
  })

  it('has no room for more than there is, and has it again when a call has ended', () => {
    const calls = openCalls(callerNamed('busy'), 11)
    expect(calls.map(call => call.resize(0)).at(-1)).toBe(false)
    calls[0]?.release()
    expect(calls[1]?.resize(0)).toBe(true)
    expect(cut).toEqual([])
  })

  it('is taken from the connection whose client has kept a call waiting for longest, as a whole', () => {
    const [idle, idleToo, earnest] = ['idle', 'idle too', 'earnest'].map(callerNamed) as [Caller, Caller, Caller]
    const held = [...openCalls(idle, 4), ...openCalls(idleToo, 4)]
    for (const call of held) {
      nowMs += 1
      call.waitForClient()
    }
    // It has waited for longest at first, and then its client has come.
    held[0]?.clientHasCome()
    nowMs += LONG_MS
    expect(openCalls(earnest, 3).map(call => call.resize(0))).toEqual([true, true, true])
    expect(cut).toEqual(['idle'])
    expect(memory.usedBytes).toBe(7 * CALL_BYTES)
    // Their streams are closed later, which must not count twice.
    for (const call of held.slice(0, 4)) call.release()
    expect(memory.usedBytes).toBe(7 * CALL_BYTES)
  })

  it('is taken from as many as it needs', () => {
    for (const name of ['first', 'second', 'third'])
      for (const call of openCalls(callerNamed(name), 3)) call.waitForClient()
    nowMs += LONG_MS
    const large = new HeldMemory(memory, callerNamed('earnest'))
    expect(large.resize(5 * CALL_BYTES)).toBe(true)
    expect(cut).toEqual(['first', 'second'])
  })

  it('is taken from nobody who waits for us, or has not kept us waiting for long', () => {
    openCalls(callerNamed('waits for us'), 6)
    for (const call of openCalls(callerNamed('just asked'), 4)) call.waitForClient()
    nowMs += 10
    expect(openCalls(callerNamed('one more'), 10).at(-1)?.resize(0)).toBe(false)
    expect(cut).toEqual([])
  })

  it('has room for a few calls of each connection, whatever the others hold', () => {
    openCalls(callerNamed('waits for us'), 100)
    const few = callerNamed('few')
    const answers = Array.from({ length: 10 }, () => new HeldMemory(memory, few).resize(0))
    expect(answers).toEqual([...Array<boolean>(8).fill(true), false, false])
  })

  it('is taken from the caller itself, if it is the one', () => {
    const caller = callerNamed('hoarder')
    const calls = openCalls(caller, 10)
    for (const call of calls) call.waitForClient()
    nowMs += LONG_MS
    expect(new HeldMemory(memory, caller).resize(0)).toBe(true)
    expect([cut, memory.usedBytes]).toEqual([['hoarder'], 0])
  })
})
