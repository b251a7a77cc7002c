import { OpenBaoError } from '../error.ts'
import { manualClock, type ManualClock } from '../testing/fake-send.ts'
import { type Outcome } from './batch-messages.ts'
import { type BatchCall, type BatchedItem, type Batcher, openBatcher } from './batcher.ts'

/** A batch that was sent, and waits for the test to answer it. */
interface Sent {
  readonly items: readonly string[]
  readonly heads: readonly Uint8Array[]
  readonly call: BatchCall
  readonly answer: (results?: readonly string[]) => void
  readonly fail: (error: unknown) => void
}

const never = new AbortController().signal

function setUp(options: { readonly maxItems?: number } = {}): {
  readonly batcher: Batcher<string, string>
  readonly sent: Sent[]
  readonly clock: ManualClock
  readonly discarded: string[]
} {
  const sent: Sent[] = []
  const discarded: string[] = []
  const clock = manualClock()
  const batcher = openBatcher<string, string>({
    what: 'work',
    maxItems: options.maxItems ?? 4,
    timeoutMs: 1_000,
    clock,
    exchange: async (batch: readonly BatchedItem<string>[], call) => {
      const answer = Promise.withResolvers<readonly Outcome<string>[]>()
      const items = batch.map(({ expected }) => expected)
      sent.push({
        items,
        heads: batch.map(({ head }) => head),
        call,
        answer: (results = items) => {
          answer.resolve(results.map(value => ({ kind: 'done', value })))
        },
        fail: answer.reject,
      })
      return await answer.promise
    },
    discard: value => discarded.push(value),
  })
  return { batcher, sent, clock, discarded }
}

const itemOf = (expected: string): BatchedItem<string> => ({ head: Uint8Array.of(1, 2, 3), expected })

/** What came of a call so far. */
function watched(promise: Promise<string>): { outcome: string } {
  const watch = { outcome: 'waits' }
  promise.then(
    value => {
      watch.outcome = value
    },
    (error: unknown) => {
      watch.outcome = error instanceof OpenBaoError ? error.code : String(error)
    },
  )
  return watch
}

/** Adds calls in one go. */
const addAll = (batcher: Batcher<string, string>, names: string): readonly { outcome: string }[] =>
  names.split('').map(name => watched(batcher.add(itemOf(name), never)))

const itemsOf = (sent: readonly Sent[]): readonly string[] => sent.map(({ items }) => items.join(''))

it('sends a call that is alone at once, and calls that come together as one', async () => {
  const { batcher, sent, clock } = setUp()
  const [a] = addAll(batcher, 'a')
  await clock.advance(0)
  expect(itemsOf(sent)).toEqual(['a'])
  sent[0]?.answer()
  await clock.advance(0)
  expect(a?.outcome).toBe('a')
  const both = addAll(batcher, 'bc')
  await clock.advance(0)
  sent[1]?.answer()
  await clock.advance(0)
  expect(itemsOf(sent)).toEqual(['a', 'bc'])
  expect(both.map(({ outcome }) => outcome)).toEqual(['b', 'c'])
})

it('gathers calls while two batches are under way, and sends them in their order once one is back', async () => {
  const { batcher, sent, clock } = setUp()
  for (const names of ['a', 'b']) {
    addAll(batcher, names)
    await clock.advance(0)
  }
  addAll(batcher, 'cd')
  await clock.advance(1)
  addAll(batcher, 'e')
  await clock.advance(0)
  expect(itemsOf(sent)).toEqual(['a', 'b'])
  sent[0]?.answer()
  await clock.advance(0)
  await clock.advance(0)
  expect(itemsOf(sent)).toEqual(['a', 'b', 'cde'])
})

it('waits for company no longer than 2 ms behind a slow server, and has four batches under way at most', async () => {
  const { batcher, sent, clock } = setUp()
  for (const names of ['a', 'b', 'c', 'd', 'e']) {
    addAll(batcher, names)
    await clock.advance(2)
  }
  addAll(batcher, 'fghi')
  await clock.advance(500)
  expect(itemsOf(sent)).toEqual(['a', 'b', 'c', 'd'])
  sent[2]?.answer()
  await clock.advance(0)
  await clock.advance(0)
  // Not more than fit into one.
  expect(itemsOf(sent)).toEqual(['a', 'b', 'c', 'd', 'efgh'])
})

it('does not gather more than fit into one batch', async () => {
  const { batcher, sent, clock } = setUp()
  addAll(batcher, 'abcdefghijklmnopqrs')
  await clock.advance(0)
  expect(itemsOf(sent)).toEqual(['abcd', 'efgh', 'ijkl', 'mnop'])
})

it('takes a call whose caller leaves out of the queue, and wipes it', async () => {
  const { batcher, sent, clock } = setUp()
  const leaving = new AbortController()
  const item = itemOf('b')
  const a = watched(batcher.add(itemOf('a'), never))
  const b = watched(batcher.add(item, leaving.signal))
  leaving.abort()
  await clock.advance(0)
  expect(b.outcome).toBe('OPENBAO_CANCELLED')
  expect(Array.from(item.head)).toEqual([0, 0, 0])
  expect(itemsOf(sent)).toEqual(['a'])
  sent[0]?.answer()
  await clock.advance(0)
  expect(a.outcome).toBe('a')
})

it('asks nothing for a caller who has left already', async () => {
  const { batcher, sent, clock } = setUp()
  const a = watched(batcher.add(itemOf('a'), AbortSignal.abort()))
  await clock.advance(0)
  expect([a.outcome, sent.length, clock.waiting()]).toEqual(['OPENBAO_CANCELLED', 0, 0])
})

it('throws away a result that nobody waits for any more, and ends a batch only when all have left', async () => {
  const { batcher, sent, clock, discarded } = setUp()
  const leaving = [new AbortController(), new AbortController()]
  const calls = leaving.map(({ signal }, index) => watched(batcher.add(itemOf(String(index)), signal)))
  await clock.advance(0)
  leaving[0]?.abort()
  await clock.advance(0)
  expect(calls.map(({ outcome }) => outcome)).toEqual(['OPENBAO_CANCELLED', 'waits'])
  expect(sent[0]?.call.signal.aborted).toBe(false)
  leaving[1]?.abort()
  expect(sent[0]?.call.signal.aborted).toBe(true)
  sent[0]?.answer()
  await clock.advance(0)
  expect(discarded).toEqual(['0', '1'])
})

it('counts the time of a call from its start, waiting included', async () => {
  const { batcher, sent, clock } = setUp()
  for (const names of ['a', 'b', 'c', 'd']) {
    addAll(batcher, names)
    await clock.advance(2)
  }
  const [late] = addAll(batcher, 'e')
  await clock.advance(991)
  // The other four have given up, and their batches, which have a limit of their own, do not heed it here.
  await clock.advance(8)
  expect(late?.outcome).toBe('waits')
  await clock.advance(1)
  expect(late?.outcome).toBe('OPENBAO_TIMEOUT')
  expect(itemsOf(sent)).toEqual(['a', 'b', 'c', 'd'])
  expect(sent.map(({ call }) => call.timeoutMs)).toEqual([1_000, 1_000, 998, 998])
})

it('gives each call of a batch that failed the same reason, and goes on', async () => {
  const { batcher, sent, clock } = setUp()
  const calls = addAll(batcher, 'ab')
  await clock.advance(0)
  sent[0]?.fail(new OpenBaoError('OPENBAO_SEALED', 'sealed'))
  await clock.advance(0)
  expect(calls.map(({ outcome }) => outcome)).toEqual(['OPENBAO_SEALED', 'OPENBAO_SEALED'])
  const [next] = addAll(batcher, 'c')
  await clock.advance(0)
  sent[1]?.answer()
  await clock.advance(0)
  expect(next?.outcome).toBe('c')
})

it('wipes what was sent once it is answered, and leaves no timer behind', async () => {
  const { batcher, sent, clock } = setUp()
  addAll(batcher, 'ab')
  await clock.advance(0)
  expect(sent[0]?.heads.map(head => Array.from(head))).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ])
  sent[0]?.answer()
  await clock.advance(0)
  expect(sent[0]?.heads.map(head => Array.from(head))).toEqual([
    [0, 0, 0],
    [0, 0, 0],
  ])
  expect(clock.waiting()).toBe(0)
})

it('lets all calls fail when it is closed', async () => {
  const { batcher, sent, clock } = setUp({ maxItems: 1 })
  const calls = addAll(batcher, 'abcdef')
  await clock.advance(0)
  batcher.close()
  await clock.advance(0)
  expect(new Set(calls.map(({ outcome }) => outcome))).toEqual(new Set(['OPENBAO_CANCELLED']))
  expect(sent.every(({ call }) => call.signal.aborted)).toBe(true)
  expect(clock.waiting()).toBe(0)
})
