import { createBell } from './bell.ts'

const LONG_MS = 60_000

describe('a bell', () => {
  it('wakes who waits, and the next one if nobody did; but only once', async () => {
    const { signal } = new AbortController()
    const bell = createBell()
    const waiting = bell.wait(LONG_MS, signal)
    bell.ring()
    await waiting
    bell.ring()
    bell.ring()
    await bell.wait(LONG_MS, signal)

    const again = bell.wait(LONG_MS, signal).then(() => 'woken')
    await expect(Promise.race([again, Promise.resolve('waits')])).resolves.toBe('waits')
    bell.ring()
    await expect(again).resolves.toBe('woken')
  })

  it('ends the wait after its time, and when it is told to', async () => {
    const controller = new AbortController()
    const bell = createBell()
    await bell.wait(1, controller.signal)
    const waiting = bell.wait(LONG_MS, controller.signal)
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await expect(bell.wait(LONG_MS, controller.signal)).rejects.toThrow('enough')
  })
})
