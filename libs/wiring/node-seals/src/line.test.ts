import { createLine } from './line.ts'

describe('a line', () => {
  it('lets each piece of work wait until all that came before it has ended, however long each takes', async () => {
    const line = createLine()
    const happened: string[] = []
    const gates = [0, 1, 2].map(() => Promise.withResolvers<undefined>())
    const all = gates.map((gate, index) =>
      line(async () => {
        happened.push(`begin ${index}`)
        await gate.promise
        happened.push(`end ${index}`)
        return index
      }),
    )
    for (const gate of gates.toReversed()) gate.resolve(undefined)
    expect(await Promise.all(all)).toEqual([0, 1, 2])
    expect(happened).toEqual(['begin 0', 'end 0', 'begin 1', 'end 1', 'begin 2', 'end 2'])
  })

  it('hands a failure to whoever brought the work, and goes on with the next', async () => {
    const line = createLine()
    const rejected = line(() => Promise.reject(new Error('rejected')))
    const thrown = line(() => {
      throw new Error('thrown')
    })
    const next = line(() => Promise.resolve('next'))
    await expect(rejected).rejects.toThrow('rejected')
    await expect(thrown).rejects.toThrow('thrown')
    await expect(next).resolves.toBe('next')
  })

  it('keeps two lines apart', async () => {
    const [one, other] = [createLine(), createLine()]
    const gate = Promise.withResolvers<undefined>()
    const waiting = one(() => gate.promise)
    await expect(other(() => Promise.resolve('at once'))).resolves.toBe('at once')
    gate.resolve(undefined)
    await waiting
  })
})
