import { getEventListeners } from 'node:events'
import { keepLearning, type LearnDependencies, learnOnce } from './learn.ts'

const WAIT_MS = 10_000
const INTERVAL_MS = 40
/** Timers may fire this much early. */
const EARLY_MS = 2

const never = new AbortController().signal
/** A field of a protobuf message: its number, and bytes behind their length. */
const field = (number: number, bytes: readonly number[]): readonly number[] => [number * 8 + 2, bytes.length, ...bytes]

/** A blob as OpenBao stores it, with this beside it (proto/pb/wrapper.proto): fields 1 and 5, and in the latter 3 and 5. */
function blobWith(wrappedKey: readonly number[]): Uint8Array {
  return Uint8Array.from([...field(1, [9]), ...field(5, [...field(3, [0x6b]), ...field(5, wrappedKey)])])
}

interface Learning {
  readonly change?: Partial<LearnDependencies>
  /** The learning is stopped after so many questions. */
  readonly questions: number
}

/** Learns until it has asked so often. */
async function learn({ change = {}, questions }: Learning) {
  const stop = new AbortController()
  const askedAtMs: number[] = []
  const failures: unknown[] = []
  const absorbed: Uint8Array[] = []
  const seen: Parameters<LearnDependencies['onBlob']>[] = []
  const { leaderBlob = () => Promise.resolve(blobWith([7])), ...others } = change
  const ended = keepLearning(
    {
      absorb: bytes => {
        absorbed.push(Uint8Array.from(bytes))
        return Promise.resolve(undefined)
      },
      onBlob: (blob, refusal) => seen.push([blob, refusal]),
      onFailure: error => failures.push(error),
      intervalMs: INTERVAL_MS,
      random: () => 0,
      ...others,
      leaderBlob: async signal => {
        askedAtMs.push(performance.now())
        if (askedAtMs.length >= questions) stop.abort(new Error('enough'))
        return await leaderBlob(signal)
      },
    },
    stop.signal,
  )
  const outcome = await ended.then(
    () => 'ended by itself',
    (error: unknown) => error,
  )
  const pausesMs = askedAtMs.slice(1).map((atMs, index) => atMs - (askedAtMs[index] ?? 0))
  return { outcome, pausesMs, failures, absorbed, seen, signal: stop.signal }
}

describe('learning from the leader', () => {
  it(
    'asks at once, goes on after failures of every kind, and ends with its signal alone',
    async () => {
      let asked = 0
      const outcomes: readonly (() => Promise<Uint8Array | undefined>)[] = [
        () => Promise.reject(new Error('unreachable')),
        () => Promise.resolve(Uint8Array.of(1, 2, 3)),
        () => Promise.resolve(undefined),
        () => Promise.resolve(blobWith([])),
        () => {
          throw new RangeError('a bug')
        },
        () => Promise.resolve(blobWith([1, 2])),
      ]
      const { failures, absorbed, seen, outcome, signal } = await learn({
        change: { leaderBlob: () => (outcomes[asked++] ?? (() => Promise.resolve(undefined)))() },
        questions: outcomes.length + 1,
      })
      expect(failures).toMatchObject([
        { message: 'unreachable' },
        { code: 'SEAL_PLUGIN_BLOB_MALFORMED' },
        { message: 'a bug' },
      ])
      expect(absorbed).toEqual([Uint8Array.of(1, 2)])
      expect(seen).toHaveLength(2)
      expect(outcome).toMatchObject({ name: 'AbortError' })
      expect(signal.aborted).toBe(true)
    },
    WAIT_MS,
  )

  it('tells of a keyring that could not be absorbed, and goes on', async () => {
    const { failures } = await learn({
      change: { absorb: () => Promise.reject(new Error('not absorbed')) },
      questions: 3,
    })
    expect(failures).toMatchObject([{ message: 'not absorbed' }, { message: 'not absorbed' }])
  })

  it.each([
    [0, 0.75],
    [0.5, 1],
    [0.999, 1.249],
  ])('waits between two questions as chance %d says: %d intervals', async (chance, intervals) => {
    const { pausesMs } = await learn({ change: { random: () => chance }, questions: 4 })
    expect(pausesMs).toHaveLength(3)
    for (const pauseMs of pausesMs) expect(pauseMs).toBeGreaterThanOrEqual(intervals * INTERVAL_MS - EARLY_MS)
    // Of three pauses at least one is not much longer than it should be, however busy the machine is.
    expect(Math.min(...pausesMs)).toBeLessThan((intervals + 0.25) * INTERVAL_MS + 5 * INTERVAL_MS)
  })

  it('draws a new chance for each pause', async () => {
    const chances = [0, 0.999, 0]
    let drawn = 0
    const { pausesMs } = await learn({ change: { random: () => chances[drawn++] ?? 0 }, questions: 4 })
    // The last pause is cut short.
    expect(drawn).toBe(pausesMs.length + 1)
  })

  it('ends in the midst of a question, and does not tell of that as a failure', async () => {
    const { failures, outcome, absorbed } = await learn({
      change: { leaderBlob: signal => Promise.reject(signal.reason as Error) },
      questions: 1,
    })
    expect([failures, absorbed]).toEqual([[], []])
    expect(outcome).toMatchObject({ message: 'enough' })
  })

  it('ends in the midst of a pause, and leaves nothing behind', async () => {
    const stop = new AbortController()
    const asked = Promise.withResolvers<undefined>()
    const ended = keepLearning(
      {
        leaderBlob: () => {
          asked.resolve(undefined)
          return Promise.resolve(undefined)
        },
        absorb: () => Promise.resolve(undefined),
        onBlob: () => undefined,
        onFailure: () => undefined,
        intervalMs: 3_600_000,
        random: () => 0.5,
      },
      stop.signal,
    )
    await asked.promise
    await new Promise(setImmediate)
    stop.abort()
    await expect(ended).rejects.toMatchObject({ name: 'AbortError' })
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0)
  })
})

describe('learning once', () => {
  it('hands on what lies beside the blob of the leader, with the signal of the caller, and tells what came of it', async () => {
    const seen: unknown[] = []
    const refusal = { code: 'KEYRING_LINK_BROKEN', message: 'out of reach' }
    await learnOnce(
      {
        leaderBlob: signal => {
          seen.push(signal)
          return Promise.resolve(blobWith([1, 2, 3]))
        },
        absorb: (bytes, signal) => {
          seen.push(Uint8Array.from(bytes), signal)
          return Promise.resolve(refusal)
        },
        onBlob: ({ ciphertext }, told) => seen.push(Uint8Array.from(ciphertext), told),
      },
      never,
    )
    expect(seen).toEqual([never, Uint8Array.of(1, 2, 3), never, Uint8Array.of(9), refusal])
  })

  it.each([
    ['there is no blob to be had', undefined],
    ['the leader sends no keyring along', blobWith([])],
  ])('absorbs nothing where %s', async (_, blob) => {
    let absorbed = 0
    const absorb = (): Promise<undefined> => {
      absorbed += 1
      return Promise.resolve(undefined)
    }
    const told: unknown[] = []
    const onBlob: LearnDependencies['onBlob'] = (_blob, refusal) => told.push(refusal)
    await learnOnce({ leaderBlob: () => Promise.resolve(blob), absorb, onBlob }, never)
    expect(absorbed).toBe(0)
    expect(told).toEqual(blob === undefined ? [] : [undefined])
  })
})
