import { createLatch } from './latch.ts'

const never = new AbortController().signal

describe('the latch', () => {
  it('lets everybody through once it is open', async () => {
    const latch = createLatch()
    const waiting = [latch.wait(60_000, never), latch.wait(60_000, never)]
    latch.open()
    await Promise.all([...waiting, latch.wait(60_000, never)])
  })

  it('lets go of who waited long enough, and of who gave up, before or meanwhile', async () => {
    const latch = createLatch()
    await latch.wait(1, never)
    await latch.wait(60_000, AbortSignal.abort())
    const caller = new AbortController()
    const waiting = latch.wait(60_000, caller.signal)
    caller.abort()
    await waiting
  })
})
