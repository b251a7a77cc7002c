import { activeVersion, type KeyLife, type KmsCall, KmsError } from '@sealwright/kms-v2'
import { waitUntil } from '@sealwright/testing-rig'
import { keyWatch, type KeyWatch, type WatchEvent } from './key-watch.ts'
import { observationOf, type ScriptedBackend, scriptedBackend, versionOf } from './testing/scripted-backend.ts'

const probe = { intervalMs: 1, retryIntervalMs: 1, unhealthyAfterFailures: 2, staleAfterMs: 1_000 }
const remembered: KeyLife = {
  versions: [{ ...versionOf(1), sample: null, phase: 'active' }],
  ...{ former: [], stableObservations: 3, doubts: 0, trouble: null },
}
const down = new KmsError('KMS_BACKEND_UNAVAILABLE', 'the backend is down')

let stopping: AbortController
let running: Promise<void>
let events: WatchEvent[]
let backend: ScriptedBackend
let nowMs: number
let steadyMs: number

beforeEach(() => {
  stopping = new AbortController()
  running = Promise.resolve()
  events = []
  backend = scriptedBackend()
  nowMs = 1_000_000
  steadyMs = 0
})

afterEach(async () => {
  stopping.abort()
  await running
})

function watching(changes: Partial<Parameters<typeof keyWatch>[0]> = {}): KeyWatch {
  const watch = keyWatch({
    ...{ backend, clusterId: 'lab', probe, rotation: { stableObservations: 3, activationDelayMs: 1_000 }, known: null },
    onEvent: event => {
      events.push(event)
    },
    now: () => nowMs,
    steadyNow: () => steadyMs,
    ...changes,
  })
  running = watch.run(stopping.signal)
  return watch
}

/** Waits for the end of so many more looks. */
async function looks(count: number): Promise<void> {
  const isLook = ({ kind }: WatchEvent): boolean => kind === 'probe-passed' || kind === 'probe-failed'
  const before = events.filter(isLook).length
  await waitUntil(() => events.filter(isLook).length >= before + count, {
    what: `${count} more looks`,
    timeoutMs: 10_000,
  })
}

/** The same function, with something that happens after its next call. */
function once<T>(call: (options: KmsCall) => Promise<T>, after: () => void): (options: KmsCall) => Promise<T> {
  let isFirst = true
  return async options => {
    const result = await call(options)
    if (isFirst) after()
    isFirst = false
    return result
  }
}

const activeOf = (watch: KeyWatch): number | undefined => {
  const life = watch.life()
  return life === null ? undefined : activeVersion(life)?.version
}

describe('a watched key', () => {
  it('is known after the first look that passed, and tried for real', async () => {
    const watch = watching()
    await watch.whenKnown
    expect(activeOf(watch)).toBe(1)
    expect(watch.illness()).toBeNull()
    expect(backend.calls.slice(0, 3)).toEqual(['observe', 'encrypt 1', 'decrypt 1'])
  })

  it('is not known while the backend is down, and says so', async () => {
    backend.failure = down
    const watch = watching()
    await looks(2)
    expect(watch.life()).toBeNull()
    expect(watch.illness()).toBe('KMS_BACKEND_UNAVAILABLE: the backend is down')
    backend.failure = null
    await watch.whenKnown
    expect(watch.illness()).toBeNull()
  })

  it('is known at once where it is remembered, and ill until it was tried', async () => {
    backend.failure = down
    const watch = watching({ known: remembered })
    await watch.whenKnown
    expect(activeOf(watch)).toBe(1)
    expect(watch.illness()).not.toBeNull()
    await looks(2)
    expect(watch.hasLooked()).toBe(false)
    backend.failure = null
    await waitUntil(watch.hasLooked, { what: 'a look', timeoutMs: 10_000 })
    expect(watch.illness()).toBeNull()
  })

  it('takes at once what all other nodes take, though what is remembered is old', async () => {
    const [older, newer] = [versionOf(1), versionOf(2)]
    backend.observation = { ...observationOf(2), versions: [older, newer] }
    nowMs = newer.createdAtMs + 1_000
    const watch = watching({ known: remembered, probe: { ...probe, intervalMs: 60_000 } })
    await looks(1)
    expect(activeOf(watch)).toBe(2)
  })

  it('has a look under way at once, which can be waited for', async () => {
    const observing = Promise.withResolvers<undefined>()
    const { observe } = backend
    backend.observe = async call => {
      await observing.promise
      return await observe(call)
    }
    const watch = watching({ known: remembered, probe: { ...probe, intervalMs: 60_000 } })
    let hasEnded = false
    const waiting = watch.lookEnds(stopping.signal).then(() => {
      hasEnded = true
    })
    await watch.lookEnds(AbortSignal.abort())
    const leaving = new AbortController()
    const left = watch.lookEnds(leaving.signal)
    leaving.abort()
    await left
    expect([hasEnded, watch.hasLooked()]).toEqual([false, false])
    observing.resolve(undefined)
    await waiting
    expect(watch.hasLooked()).toBe(true)
    await watch.lookEnds(stopping.signal)
  })

  it('that was given up is known for what it has encrypted, also while the backend is down', async () => {
    backend.failure = down
    const { versions, ...rest } = remembered
    const former = versions.map(({ version, lineage, createdAtMs, sample }) => ({
      version,
      lineage,
      createdAtMs,
      sample,
    }))
    const watch = watching({ known: { ...rest, versions: [], former } })
    await watch.whenKnown
    expect(activeOf(watch)).toBeUndefined()
  })

  it('is ill after the second failure in a row, not after the first', async () => {
    const watch = watching({ probe: { ...probe, retryIntervalMs: 60_000 } })
    await looks(1)
    backend.failure = down
    await looks(1)
    expect(watch.illness()).toBeNull()
    watch.lookNow()
    await looks(1)
    expect(watch.illness()).toBe('KMS_BACKEND_UNAVAILABLE: the backend is down')
  })

  it('is ill when nothing was heard for too long, whatever the reason', async () => {
    const watch = watching({ probe: { ...probe, intervalMs: 600_000 } })
    await looks(1)
    steadyMs += probe.staleAfterMs + 1
    expect(watch.illness()).toMatch(/^KMS_BACKEND_UNAVAILABLE: .* 1 s ago$/)
  })

  it('is ill if it gives back something else than was encrypted', async () => {
    backend.lies = true
    const watch = watching()
    await looks(2)
    expect(watch.illness()).toMatch(/^KMS_BACKEND_BROKEN: /)
    expect(watch.life()).toBeNull()
  })

  it('gets a new version only once it was seen often enough, is old enough, and works', async () => {
    const watch = watching()
    await watch.whenKnown
    const made = { ...versionOf(2), createdAtMs: nowMs }
    backend.broken.add(2)
    backend.observation = { ...observationOf(1), versions: [versionOf(1), made] }
    await looks(5)
    expect(events).toContainEqual(expect.objectContaining({ kind: 'newest-failed', version: 2 }))
    expect(watch.illness()).toBeNull()
    nowMs += 1_000
    await looks(5)
    expect(activeOf(watch)).toBe(1)
    backend.broken.clear()
    await waitUntil(() => activeOf(watch) === 2, { what: 'version 2 to be active', timeoutMs: 10_000 })
  })

  it('goes on by the version that works when the key goes back, and says what is wrong', async () => {
    backend.observation = observationOf(2)
    const watch = watching()
    await watch.whenKnown
    expect(activeOf(watch)).toBe(2)
    backend.observation = observationOf(1)
    backend.broken.add(2)
    await looks(3)
    expect(watch.life()?.trouble).toEqual({ kind: 'went-back', newest: 1, known: 2 })
    expect(activeOf(watch)).toBe(2)
    backend.observation = observationOf(2)
    backend.broken.clear()
    await looks(2)
    expect(watch.life()?.trouble).toBeNull()
  })

  it('is as it was to everybody when less was seen of it once, and is looked at again soon', async () => {
    backend.observation = observationOf(2)
    const watch = watching({ probe: { ...probe, intervalMs: 600_000 } })
    await looks(1)
    const life = watch.life()
    backend.observation = observationOf(1)
    backend.observe = once(backend.observe, () => {
      backend.observation = observationOf(2)
    })
    watch.lookNow()
    await waitUntil(() => events.filter(({ kind }) => kind === 'probe-passed').length === 2, {
      what: 'the look after the doubt',
      timeoutMs: 10_000,
    })
    expect(watch.life()?.versions.map(({ phase }) => phase)).toEqual(life?.versions.map(({ phase }) => phase))
    expect(events.map(({ kind }) => kind)).toEqual(['life-changed', 'probe-passed', 'probe-doubted', 'probe-passed'])
  })

  it('is found to be another one by what it decrypts, is looked at often then, and recovers by itself', async () => {
    const watch = watching({ probe: { ...probe, intervalMs: 600_000 } })
    await looks(1)
    backend.key = 2
    watch.lookNow()
    await looks(2)
    expect(watch.life()?.trouble).toMatchObject({ kind: 'replaced', version: 1 })
    backend.key = 1
    await waitUntil(() => watch.life()?.trouble === null, { what: 'the end of the trouble', timeoutMs: 10_000 })
  })

  it('gets a sample of each version, the old ones one after the other', async () => {
    backend.observation = observationOf(4)
    const watch = watching()
    await looks(4)
    expect(watch.life()?.versions.map(({ sample }) => sample?.[0])).toEqual([1, 1, 1, 1])
    backend.calls.length = 0
    await looks(3)
    for (const version of [1, 2, 3, 4]) expect(backend.calls).toContain(`decrypt ${version}`)
    expect(backend.calls).not.toContain('encrypt 1')
  })

  it('is looked at as often as that is allowed, however often it is told to', async () => {
    const watch = watching({ probe: { ...probe, intervalMs: 600_000, retryIntervalMs: 200 } })
    await looks(1)
    const startedAtMs = performance.now()
    const before = backend.calls.filter(call => call === 'observe').length
    await waitUntil(
      () => {
        watch.lookNow()
        return performance.now() - startedAtMs > 1_000
      },
      { what: 'a second of asking', timeoutMs: 10_000 },
    )
    const looked = backend.calls.filter(call => call === 'observe').length - before
    expect(looked).toBeGreaterThanOrEqual(2)
    expect(looked).toBeLessThanOrEqual(6)
  })

  it('looks at once when it is told to', async () => {
    const watch = watching({ probe: { ...probe, intervalMs: 600_000 } })
    await looks(1)
    watch.lookNow()
    await looks(1)
  })
})
