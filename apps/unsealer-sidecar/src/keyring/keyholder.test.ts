import { type SealAttempt, type SealFailure } from '@sealwright/unseal'
import { createKeyholder, type Held, type Keyholder } from './keyholder.ts'

const transient: SealFailure = { code: 'TPM_UNREACHABLE', message: 'no TPM', kind: 'transient' }
const operator: SealFailure = { code: 'TPM_PIN_WRONG', message: 'wrong PIN', kind: 'operator' }

class Failed extends Error {
  readonly failure: SealFailure
  constructor(failure: SealFailure) {
    super(failure.message)
    this.failure = failure
  }
}

/** A seal that plays a script of outcomes; the last one repeats. */
function scripted(name: string, script: readonly (string | SealFailure)[], priority = 1) {
  let calls = 0
  return {
    name,
    priority,
    calls: () => calls,
    open: () => {
      const step = script[Math.min(calls++, script.length - 1)]
      return typeof step === 'string' ? Promise.resolve(step) : Promise.reject(new Failed(step ?? transient))
    },
  }
}

let controller: AbortController
let running: Promise<void> | undefined
let attempts: SealAttempt[]
let opened: Held<string>[]
let discarded: string[]
let broken: unknown[]

beforeEach(() => {
  controller = new AbortController()
  attempts = []
  opened = []
  discarded = []
  broken = []
  running = undefined
})

afterEach(async () => {
  controller.abort()
  await expect(running ?? Promise.reject(new Error('not run'))).rejects.toThrow()
})

function hold(seals: readonly ReturnType<typeof scripted>[]): Keyholder<string> {
  return createKeyholder<string>({
    seals: () => seals,
    now: Date.now,
    steadyNow: () => performance.now(),
    classify: error => {
      if (error instanceof Failed) return error.failure
      throw error
    },
    unite: (held, brought) => {
      if (brought === 'of another cluster') throw new Failed(transient)
      return brought > held ? brought : held
    },
    discard: key => discarded.push(key),
    onAttempt: attempt => attempts.push(attempt),
    onOpened: held => opened.push(held),
    onProbeBroken: error => broken.push(error),
  })
}

function run(keyholder: Keyholder<string>, probeIntervalMs = 60_000): void {
  running = keyholder.run({ probeIntervalMs, signal: controller.signal })
}

describe('the keyholder', () => {
  it('tries again until a seal opens', async () => {
    const seal = scripted('tpm', [transient, transient, 'key'])
    const keyholder = hold([seal])
    run(keyholder)
    expect(await keyholder.waitForKey(10_000, controller.signal)).toMatchObject({ key: 'key', sealName: 'tpm' })
    expect(attempts.map(attempt => attempt.kind)).toEqual(['failed', 'failed', 'opened'])
    expect(keyholder.health('tpm')).toMatchObject({ kind: 'healthy' })
  })

  it('never tries a seal again that only an operator can mend, until told that something changed', async () => {
    const seal = scripted('tpm', [operator, 'key'])
    const keyholder = hold([seal])
    run(keyholder)
    expect(await keyholder.waitForKey(1_500, controller.signal)).toBeUndefined()
    await keyholder.probe(controller.signal)
    expect(seal.calls()).toBe(1)
    keyholder.reload()
    expect(await keyholder.waitForKey(10_000, controller.signal)).toMatchObject({ key: 'key' })
    expect(seal.calls()).toBe(2)
  })

  it('keeps the key when a later probe fails, and says that the seal fails', async () => {
    const keyholder = hold([scripted('tpm', ['key', transient])])
    run(keyholder)
    await keyholder.waitForKey(10_000, controller.signal)
    await keyholder.probe(controller.signal)
    expect(keyholder.held()).toMatchObject({ key: 'key' })
    expect(keyholder.health('tpm')).toMatchObject({ kind: 'failing', failuresInARow: 1 })
  })

  it('probes every seal, not only the best one', async () => {
    const keyholder = hold([scripted('first', ['key']), scripted('second', ['key'], 2)])
    run(keyholder)
    await keyholder.waitForKey(10_000, controller.signal)
    expect(keyholder.health('second')).toEqual({ kind: 'untried' })
    await keyholder.probe(controller.signal)
    expect(keyholder.health('second')).toMatchObject({ kind: 'healthy' })
  })

  it('probes by itself at each interval', async () => {
    const probed = Promise.withResolvers<undefined>()
    const seal = { ...scripted('tpm', ['key']), calls: () => 0 }
    const counting = {
      ...seal,
      open: () => (attempts.length >= 3 ? probed.resolve(undefined) : undefined, seal.open()),
    }
    run(hold([counting]), 5)
    await probed.promise
    expect(attempts.length).toBeGreaterThanOrEqual(3)
  })

  it('stops waiting when the caller gives up', async () => {
    const keyholder = hold([scripted('tpm', [transient])])
    run(keyholder)
    const caller = new AbortController()
    const waiting = keyholder.waitForKey(60_000, caller.signal)
    caller.abort()
    expect(await waiting).toBeUndefined()
  })

  it('keeps what it holds when a later unwrap brings nothing new, and lets go of the other', async () => {
    const keyholder = hold([scripted('tpm', ['c', 'b', 'a', 'd'])])
    run(keyholder)
    await keyholder.waitForKey(10_000, controller.signal)
    for (let probes = 0; probes < 3; probes += 1) await keyholder.probe(controller.signal)
    expect(opened.map(({ key }) => key)).toEqual(['c', 'd'])
    expect(discarded).toEqual(['b', 'a', 'c'])
    expect(keyholder.held()).toMatchObject({ key: 'd' })
  })

  it('blames the seal that brought a key which does not go with the one that is held', async () => {
    const keyholder = hold([scripted('tpm', ['c', 'of another cluster'])])
    run(keyholder)
    await keyholder.waitForKey(10_000, controller.signal)
    await keyholder.probe(controller.signal)
    expect(keyholder.health('tpm')).toMatchObject({ kind: 'failing', failure: transient })
    expect(discarded).toEqual(['of another cluster'])
    expect(keyholder.held()).toMatchObject({ key: 'c' })
  })

  it('holds its key through a probe that breaks, says so, and probes again', async () => {
    const again = Promise.withResolvers<undefined>()
    let calls = 0
    const open = () => {
      calls += 1
      if (calls === 2) return Promise.reject(new RangeError('a bug'))
      if (calls === 3) again.resolve(undefined)
      return Promise.resolve('key')
    }
    const keyholder = hold([{ ...scripted('tpm', []), open }])
    run(keyholder, 5)
    await again.promise
    expect(broken).toMatchObject([{ message: 'a bug' }])
    expect(keyholder.held()).toMatchObject({ key: 'key' })
  })

  it('never runs two tries of one seal at the same time', async () => {
    let running = 0
    const open = async () => {
      running += 1
      expect(running).toBe(1)
      await new Promise(setImmediate)
      running -= 1
      return 'key'
    }
    const keyholder = hold([{ ...scripted('tpm', []), open }])
    run(keyholder)
    await Promise.all([keyholder.probe(controller.signal), keyholder.probe(controller.signal)])
    expect(attempts.length).toBeGreaterThanOrEqual(2)
  })

  it('ends at once with an error that nobody can classify, before it holds a key', async () => {
    const keyholder = hold([{ ...scripted('tpm', []), open: () => Promise.reject(new RangeError('a bug')) }])
    run(keyholder)
    await expect(running).rejects.toThrow('a bug')
  })
})
