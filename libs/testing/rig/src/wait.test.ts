import { waitUntil } from './index.ts'

describe('waitUntil', () => {
  it('returns the first answer that is not "not yet"', async () => {
    const answers = [false, null, undefined, 0] as const
    let looks = 0
    expect(await waitUntil(() => answers[looks++], { what: 'an answer', timeoutMs: 2000, intervalMs: 1 })).toBe(0)
    expect(looks).toBe(4)
  })

  it('tells what it waited for, how long, and more facts', async () => {
    const wait = waitUntil(() => false, { what: 'the moon', timeoutMs: 30, intervalMs: 1, describe: () => 'it is day' })
    await expect(wait).rejects.toMatchObject({
      code: 'RIG_TIMEOUT',
      message: 'waited 30 ms for the moon\nit is day',
    })
  })

  it('does not wait for a condition that never answers, and tells it so by its signal', async () => {
    let seen: AbortSignal | undefined
    const never = (signal: AbortSignal): Promise<boolean> => {
      seen = signal
      return new Promise(() => undefined)
    }
    await expect(waitUntil(never, { what: 'never', timeoutMs: 20 })).rejects.toMatchObject({ code: 'RIG_TIMEOUT' })
    expect(seen?.aborted).toBe(true)
  })

  it('ends by the signal of its caller, before and while it waits', async () => {
    const controller = new AbortController()
    const wait = waitUntil(() => false, { what: 'it', timeoutMs: 10_000, signal: controller.signal })
    controller.abort()
    await expect(wait).rejects.toMatchObject({ code: 'RIG_CANCELLED' })
    const late = waitUntil(() => true, { what: 'it', timeoutMs: 10_000, signal: controller.signal })
    await expect(late).rejects.toMatchObject({ code: 'RIG_CANCELLED' })
  })

  it('ends with the error of a condition that throws', async () => {
    const failing = (): boolean => {
      throw new RangeError('no')
    }
    await expect(waitUntil(failing, { what: 'it', timeoutMs: 10_000 })).rejects.toThrow(RangeError)
  })
})
