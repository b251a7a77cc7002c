import { runBeside } from './beside.ts'

const never = new AbortController().signal

/** Work that ends a moment after it is told to, and says so. */
function obedient(happened: string[]): (signal: AbortSignal) => Promise<void> {
  return async signal => {
    happened.push('begun')
    await new Promise(resolve => {
      signal.addEventListener('abort', resolve, { once: true })
    })
    await new Promise(setImmediate)
    happened.push('ended')
    signal.throwIfAborted()
  }
}

describe('what runs beside', () => {
  it('is told to stop, and waited for, when it is disposed of', async () => {
    const happened: string[] = []
    const running = runBeside(never, obedient(happened))
    await running[Symbol.asyncDispose]()
    expect(happened).toEqual(['begun', 'ended'])
    await expect(running.ended).resolves.toBeUndefined()
    await expect(running[Symbol.asyncDispose]()).resolves.toBeUndefined()
  })

  it('is told to stop by the signal of whoever started it', async () => {
    const happened: string[] = []
    const stop = new AbortController()
    const running = runBeside(stop.signal, obedient(happened))
    stop.abort(new Error('enough'))
    await expect(running.ended).resolves.toBeUndefined()
    expect(happened).toEqual(['begun', 'ended'])
  })

  it('is told at once where the signal came first', async () => {
    const happened: string[] = []
    const running = runBeside(AbortSignal.abort(new Error('enough')), signal => {
      happened.push(signal.aborted ? 'told' : 'not told')
      return Promise.reject(new Error('whatever'))
    })
    await expect(running.ended).resolves.toBeUndefined()
    expect(happened).toEqual(['told'])
  })

  it('shows what else ended it, also to somebody who looks later, and nothing counts as unhandled', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown): void => {
      unhandled.push(reason)
    }
    process.on('unhandledRejection', note)
    try {
      const running = runBeside(never, () => Promise.reject(new Error('broken')))
      await new Promise(setImmediate)
      await new Promise(setImmediate)
      await expect(running.ended).rejects.toThrow('broken')
      await expect(running[Symbol.asyncDispose]()).resolves.toBeUndefined()
      expect(unhandled).toEqual([])
    } finally {
      process.off('unhandledRejection', note)
    }
  })

  it('ends without a word when its work does', async () => {
    await using running = runBeside(never, () => Promise.resolve())
    await expect(running.ended).resolves.toBeUndefined()
  })
})
