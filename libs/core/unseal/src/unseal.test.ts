import {
  mayTry,
  nextSealHealth,
  openByPriority,
  type NamedSeal,
  type SealAttempt,
  type SealFailure,
  type SealHealth,
} from './index.ts'

const gone: SealFailure = { code: 'TPM_UNREACHABLE', message: 'no TPM', kind: 'transient' }
const wrongPin: SealFailure = { code: 'TPM_PIN_WRONG', message: 'wrong PIN', kind: 'operator' }

class Failed extends Error {
  readonly failure: SealFailure
  constructor(failure: SealFailure) {
    super(failure.message)
    this.failure = failure
  }
}

function classify(error: unknown): SealFailure {
  if (error instanceof Failed) return error.failure
  throw error
}

const opens = (name: string, priority: number): NamedSeal<string> => ({
  name,
  priority,
  open: () => Promise.resolve(`opened by ${name}`),
})
const fails = (name: string, priority: number, error: Error = new Failed(gone)): NamedSeal<string> => ({
  name,
  priority,
  open: () => Promise.reject(error),
})

async function tryAll(seals: readonly NamedSeal<string>[], signal = new AbortController().signal) {
  const attempts: SealAttempt[] = []
  let clock = 0
  const outcome = await openByPriority(seals, {
    signal,
    now: () => (clock += 5),
    classify,
    onAttempt: attempt => attempts.push(attempt),
  })
  return { outcome, attempts }
}

describe('opening by priority', () => {
  it('asks the best priority first, in whatever order the seals are listed', async () => {
    const { outcome, attempts } = await tryAll([opens('second', 2), opens('first', 1)])
    expect(outcome).toEqual({ kind: 'opened', sealName: 'first', opened: 'opened by first' })
    expect(attempts).toEqual([{ kind: 'opened', sealName: 'first', tookMs: 5 }])
  })

  it('goes on to the next seal when one fails', async () => {
    const { outcome, attempts } = await tryAll([fails('first', 1), opens('second', 2)])
    expect(outcome).toMatchObject({ kind: 'opened', sealName: 'second' })
    expect(attempts.map(attempt => attempt.kind)).toEqual(['failed', 'opened'])
  })

  it('names each failure when none opens', async () => {
    const { outcome } = await tryAll([fails('second', 2, new Failed(wrongPin)), fails('first', 1)])
    expect(outcome).toEqual({
      kind: 'not-opened',
      failures: [
        { ...gone, sealName: 'first' },
        { ...wrongPin, sealName: 'second' },
      ],
    })
  })

  it('has the next seal prepare while one is slow, and no other', async () => {
    const happened: string[] = []
    const timers = new Set<() => void>()
    const preparing = (seal: NamedSeal<string>): NamedSeal<string> => ({
      ...seal,
      prepare: () => happened.push(`${seal.name} prepares`),
    })
    const slow: NamedSeal<string> = {
      ...preparing(fails('slow', 1)),
      open: () => {
        for (const run of timers) run()
        return Promise.reject(new Failed(gone))
      },
    }
    const outcome = await openByPriority([preparing(opens('third', 3)), slow, preparing(opens('second', 2))], {
      signal: new AbortController().signal,
      now: () => 0,
      after(delayMs, run) {
        expect(delayMs).toBe(250)
        timers.add(run)
        return () => timers.delete(run)
      },
      classify,
      onAttempt: ({ kind, sealName }) => happened.push(`${sealName} ${kind}`),
    })
    expect(outcome).toMatchObject({ sealName: 'second' })
    expect(happened).toEqual(['second prepares', 'slow failed', 'second opened'])
    expect(timers).toEqual(new Set())
  })

  it('stops at once when it is cancelled, and blames no seal for it', async () => {
    const controller = new AbortController()
    const cancels: NamedSeal<string> = {
      name: 'first',
      priority: 1,
      open: () => {
        controller.abort(new Error('stopping'))
        return Promise.reject(new Failed(gone))
      },
    }
    await expect(tryAll([cancels, opens('second', 2)], controller.signal)).rejects.toThrow('stopping')
  })

  it('remembers what only an operator can mend, also when it is cancelled at the same time', async () => {
    const controller = new AbortController()
    const attempts: SealAttempt[] = []
    const sent: NamedSeal<string> = {
      name: 'first',
      priority: 1,
      open: () => {
        controller.abort(new Error('stopping'))
        return Promise.reject(new Failed(wrongPin))
      },
    }
    const { signal } = controller
    const opening = openByPriority([sent, opens('second', 2)], {
      signal,
      now: () => 0,
      classify,
      onAttempt: attempt => attempts.push(attempt),
    })
    await expect(opening).rejects.toThrow('stopping')
    expect(attempts).toEqual([{ kind: 'failed', sealName: 'first', tookMs: 0, failure: wrongPin }])
  })

  it('ends with the reason it was cancelled for, also when that is all a seal has to say', async () => {
    const controller = new AbortController()
    const reason = new Error('stopping')
    const cancels: NamedSeal<string> = {
      name: 'first',
      priority: 1,
      open: () => {
        controller.abort(reason)
        return Promise.reject(reason)
      },
    }
    await expect(tryAll([cancels], controller.signal)).rejects.toBe(reason)
  })

  it('does not hide a failure that nobody can classify', async () => {
    await expect(tryAll([fails('first', 1, new RangeError('a bug'))])).rejects.toThrow('a bug')
  })
})

describe('the health of a seal', () => {
  it('is healthy after a real unwrap only', () => {
    expect(nextSealHealth({ kind: 'untried' }, { kind: 'unwrapped', atMs: 7, tookMs: 3 })).toEqual({
      kind: 'healthy',
      unwrappedAtMs: 7,
      tookMs: 3,
    })
  })

  it('remembers since when it fails, and how often', () => {
    const events = [10, 20, 30].map(atMs => ({ kind: 'failed', atMs, failure: gone }) as const)
    const health = events.reduce<SealHealth>(nextSealHealth, { kind: 'healthy', unwrappedAtMs: 1, tookMs: 1 })
    expect(health).toEqual({ kind: 'failing', failure: gone, sinceMs: 10, failuresInARow: 3 })
  })

  it('is not tried again by itself after a failure that only an operator can mend', () => {
    const health = nextSealHealth({ kind: 'untried' }, { kind: 'failed', atMs: 1, failure: wrongPin })
    expect(mayTry(health)).toBe(false)
    expect(mayTry(nextSealHealth(health, { kind: 'reloaded' }))).toBe(true)
  })

  it('is tried again after any other failure', () => {
    for (const kind of ['transient', 'permanent'] as const) {
      const health = nextSealHealth({ kind: 'untried' }, { kind: 'failed', atMs: 1, failure: { ...gone, kind } })
      expect(mayTry(health)).toBe(true)
    }
    expect(mayTry({ kind: 'untried' })).toBe(true)
  })

  it('stays healthy through a reload', () => {
    const healthy: SealHealth = { kind: 'healthy', unwrappedAtMs: 1, tookMs: 1 }
    expect(nextSealHealth(healthy, { kind: 'reloaded' })).toBe(healthy)
  })
})
