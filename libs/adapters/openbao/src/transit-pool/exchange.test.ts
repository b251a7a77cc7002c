import { type TokenSource } from '../auth/token-source.ts'
import { OpenBaoError } from '../error.ts'
import { fakeSend, manualClock, type ManualClock } from '../testing/fake-send.ts'
import { secretOf } from '../testing/second-openbao.ts'
import { type BatchCall, type BatchedItem } from './batcher.ts'
import { batchExchange } from './exchange.ts'

const never = new AbortController().signal
const item: BatchedItem<string> = { head: new TextEncoder().encode('{"ciphertext":"vault:v1:AAAA"'), expected: 'x' }
const tokens: TokenSource = {
  withToken: async use => await use(secretOf('t')),
  close: async () => {
    await Promise.resolve()
  },
}

/** Asks a node whose quota is used up, one item. */
function askLimited(clock: ManualClock): {
  readonly asked: () => number
  readonly ask: (call: BatchCall) => Promise<string>
} {
  let asked = 0
  const send = fakeSend(() => {
    asked += 1
    return [429, { errors: ['rate limit quota exceeded'] }]
  })
  const exchange = batchExchange({
    ...{ path: 'transit/decrypt/k', tokens, send, clock },
    read: (_, __, expected: string) => expected,
    discard: () => undefined,
  })
  const ask = async (call: BatchCall): Promise<string> =>
    await exchange([item], call).then(
      () => 'done',
      (error: unknown) => (error instanceof OpenBaoError ? error.code : String(error)),
    )
  return { asked: () => asked, ask }
}

describe('a quota that is used up', () => {
  it('is waited for three times, each time longer', async () => {
    const clock = manualClock()
    const { ask, asked } = askLimited(clock)
    const outcome = ask({ signal: never, timeoutMs: 10_000 })
    const counts: number[] = []
    for (const untilMs of [49, 100, 300, 700]) {
      await clock.advance(untilMs - clock.nowMs())
      counts.push(asked())
    }
    expect(counts).toEqual([1, 2, 3, 4])
    expect(await outcome).toBe('OPENBAO_RATE_LIMITED')
  })

  it('is not waited for beyond the time of the call', async () => {
    const clock = manualClock()
    const { ask, asked } = askLimited(clock)
    expect(await ask({ signal: never, timeoutMs: 50 })).toBe('OPENBAO_RATE_LIMITED')
    expect([asked(), clock.waiting()]).toEqual([1, 0])
  })

  it('is not waited for once nobody waits any more', async () => {
    const clock = manualClock()
    const { ask } = askLimited(clock)
    const leaving = new AbortController()
    const outcome = ask({ signal: leaving.signal, timeoutMs: 10_000 })
    await clock.advance(0)
    leaving.abort()
    expect(await outcome).toBe('OPENBAO_CANCELLED')
    expect(clock.waiting()).toBe(0)
  })
})
