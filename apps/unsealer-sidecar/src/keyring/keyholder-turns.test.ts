import { type SealAttempt, type SealFailure } from '@sealwright/unseal'
import { createKeyholder, type Keyholder } from './keyholder.ts'

const { signal } = new AbortController()
const failure: SealFailure = { code: 'TPM_UNREACHABLE', message: 'no TPM', kind: 'transient' }
const wrongPin: SealFailure = { code: 'TPM_PIN_WRONG', message: 'wrong PIN', kind: 'operator' }

class Failed extends Error {
  readonly failure: SealFailure
  constructor(failed: SealFailure) {
    super(failed.message)
    this.failure = failed
  }
}

/** What a test may hold: a set of words. It can be closed, and is of no use then. */
interface Words {
  readonly words: readonly string[]
  isClosed: boolean
}

const words = (...list: readonly string[]): Words => ({ words: list, isClosed: false })

let attempts: SealAttempt[]
/** What the only seals open; a test sets it. */
let opens: Record<string, (signal: AbortSignal) => Promise<Words>>
let holder: Keyholder<Words>

beforeEach(() => {
  attempts = []
  opens = { one: () => Promise.resolve(words('a')) }
  holder = createKeyholder<Words>({
    seals: () => Object.entries(opens).map(([name, open], index) => ({ name, priority: index + 1, open })),
    now: Date.now,
    steadyNow: () => performance.now(),
    classify: error => {
      if (error instanceof Failed) return error.failure
      throw error
    },
    unite: (held, brought) => {
      if (held.isClosed) throw new Error('what is held was closed')
      const united = new Set([...held.words, ...brought.words])
      return united.size === held.words.length ? held : words(...united)
    },
    discard: key => {
      key.isClosed = true
    },
    onAttempt: attempt => attempts.push(attempt),
    onOpened: () => undefined,
    onProbeBroken: () => undefined,
  })
})

function learn(word: string): void {
  holder.revise(held => (held.words.includes(word) ? held : words(...held.words, word)))
}

function heldNow(): Words | undefined {
  return holder.held()?.key
}

describe('what the keyholder holds', () => {
  it('takes the place of what was held, which is let go of; the seal that opened stays named', async () => {
    await holder.probe(signal)
    const before = heldNow()
    learn('b')
    expect(holder.held()).toMatchObject({ key: { words: ['a', 'b'], isClosed: false }, sealName: 'one' })
    expect(before?.isClosed).toBe(true)
    const same = heldNow()
    learn('b')
    expect(heldNow()).toBe(same)
  })

  it('is not revised before there is anything', () => {
    learn('b')
    expect(heldNow()).toBeUndefined()
  })

  it('loses nothing that is learned while a seal opens', async () => {
    await holder.probe(signal)
    const opening = Promise.withResolvers<Words>()
    opens = { one: () => opening.promise }
    const probe = holder.probe(signal)
    learn('b')
    opening.resolve(words('a', 'c'))
    await probe
    expect(heldNow()).toEqual(words('a', 'b', 'c'))
  })

  it.each([
    ['something new', words('a', 'c'), ['a', 'b', 'c']],
    ['nothing new', words('a'), ['a', 'b']],
  ])(
    'loses nothing that is learned at the very moment at which a seal brings %s, however close the two come',
    async (_, brought, expected) => {
      for (let hops = 0; hops < 12; hops += 1) {
        opens = { one: () => Promise.resolve(words('a')) }
        await holder.probe(signal)
        holder.revise(() => words('a'))
        opens = {
          one: () => {
            // Comes so many steps after the seal has answered, before anything else can happen.
            void afterHops(hops).then(() => {
              learn('b')
            })
            return Promise.resolve(words(...brought.words))
          },
        }
        await holder.probe(signal)
        await new Promise(setImmediate)
        expect([hops, heldNow()]).toEqual([
          hops,
          { words: expect.arrayContaining(expected) as unknown, isClosed: false },
        ])
      }
    },
  )
})

/** Resolves after so many turns of the queue of promises. */
async function afterHops(hops: number): Promise<void> {
  for (let done = 0; done < hops; done += 1) await Promise.resolve()
}

describe('asking through the seals', () => {
  it('gives the first answer by priority, and counts for the health of who was asked', async () => {
    opens = { one: () => Promise.resolve(words()), two: () => Promise.resolve(words()) }
    const asked: string[] = []
    const answer = await holder.ask(name => {
      asked.push(name)
      return name === 'one' ? Promise.reject(new Failed(failure)) : Promise.resolve(`from ${name}`)
    }, signal)
    expect(answer).toBe('from two')
    expect(asked).toEqual(['one', 'two'])
    expect([holder.health('one').kind, holder.health('two').kind]).toEqual(['failing', 'healthy'])
  })

  it('gives nothing if no seal answers, and holds nothing because of an answer', async () => {
    expect(await holder.ask<string>(() => Promise.reject(new Failed(failure)), signal)).toBeUndefined()
    expect(await holder.ask(() => Promise.resolve('an answer'), signal)).toBe('an answer')
    expect(heldNow()).toBeUndefined()
  })

  it('asks nobody whom only an operator can mend', async () => {
    expect(await holder.ask<string>(() => Promise.reject(new Failed(wrongPin)), signal)).toBeUndefined()
    let calls = 0
    const again = await holder.ask(() => {
      calls += 1
      return Promise.resolve('an answer')
    }, signal)
    expect([again, calls]).toEqual([undefined, 0])
  })

  it('happens in turn with opening and bringing', async () => {
    let running = 0
    const inTurn = async (): Promise<Words> => {
      running += 1
      expect(running).toBe(1)
      await new Promise(setImmediate)
      running -= 1
      return words('a')
    }
    opens = { one: inTurn }
    const all = [
      holder.probe(signal),
      holder.ask(inTurn, signal),
      holder.bring(inTurn, signal),
      holder.tryOut(inTurn, signal),
      holder.ask(inTurn, signal),
    ]
    await Promise.all(all)
    expect(attempts).toHaveLength(5)
  })

  it('goes on in turn after somebody gave up', async () => {
    const stop = new AbortController()
    const given = holder.ask(() => {
      stop.abort(new Error('enough'))
      return Promise.reject(new Error('stopped'))
    }, stop.signal)
    await expect(given).rejects.toThrow('enough')
    expect(holder.health('one')).toEqual({ kind: 'untried' })
    expect(await holder.ask(() => Promise.resolve('next'), signal)).toBe('next')
  })
})

describe('trying something out', () => {
  it('asks by priority, of those that may be asked, and gives back what came of it', async () => {
    opens = { one: () => Promise.resolve(words('a')), two: () => Promise.resolve(words('b')) }
    const name = (sealName: string) => Promise.resolve(sealName)
    expect(await holder.tryOut(name, signal)).toMatchObject({ kind: 'opened', opened: 'one' })
    expect(await holder.tryOut(name, signal, ['two'])).toMatchObject({ kind: 'opened', opened: 'two' })
    expect(await holder.tryOut(name, signal, ['gone'])).toEqual({ kind: 'not-opened', failures: [] })
    expect(heldNow()).toBeUndefined()
  })

  it('blames no seal for what fails, but remembers what an operator has to mend', async () => {
    await holder.probe(signal)
    const fails = (failed: SealFailure) => holder.tryOut(() => Promise.reject(new Failed(failed)), signal)
    expect(await fails(failure)).toMatchObject({ kind: 'not-opened', failures: [failure] })
    expect(holder.health('one')).toMatchObject({ kind: 'healthy' })
    await fails(wrongPin)
    expect(holder.health('one')).toMatchObject({ kind: 'failing', failure: wrongPin })
    expect(await fails(wrongPin)).toEqual({ kind: 'not-opened', failures: [] })
  })
})

describe('bringing something else', () => {
  it('unites it with what is held, and says so', async () => {
    await holder.probe(signal)
    expect(await holder.bring(() => Promise.resolve(words('b')), signal)).toMatchObject({ kind: 'opened' })
    expect(heldNow()).toEqual(words('a', 'b'))
  })

  it('says that no seal opened it', async () => {
    await holder.probe(signal)
    const bring = () => holder.bring(() => Promise.reject(new Failed(failure)), signal)
    expect(await bring()).toEqual({ kind: 'not-opened', failures: [{ ...failure, sealName: 'one' }] })
    expect(heldNow()).toEqual(words('a'))
  })
})
