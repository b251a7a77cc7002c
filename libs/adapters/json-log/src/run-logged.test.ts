import { type Logger, pino } from 'pino'
import { runLogged } from './index.ts'

describe('a program that serves', () => {
  const failure = Object.assign(new Error('the socket is taken'), { code: 'SOCKET_IN_USE' })
  const failing = (): Promise<void> => Promise.reject(failure)
  let lines: Readonly<Record<string, unknown>>[]
  let log: Logger

  beforeEach(() => {
    lines = []
    const formatters = { level: (level: string) => ({ level }) }
    log = pino({ formatters }, { write: line => lines.push(JSON.parse(line) as Readonly<Record<string, unknown>>) })
  })

  it('logs what ends it, and ends with that', async () => {
    const { signal } = new AbortController()
    await expect(runLogged(failing, { log, signal, ends: 'plugin ends' })).rejects.toBe(failure)
    expect(lines).toMatchObject([{ level: 'fatal', code: 'SOCKET_IN_USE', msg: 'plugin ends' }])
  })

  it('ends well where it was told to stop, and still says what that has cut short', async () => {
    await runLogged(failing, { log, signal: AbortSignal.abort(), ends: 'plugin ends' })
    expect(lines).toMatchObject([
      { level: 'info', code: 'SOCKET_IN_USE', msg: 'told to stop, and ended what was under way' },
    ])
  })

  it('logs nothing where nothing fails', async () => {
    const { signal } = new AbortController()
    await runLogged(() => Promise.resolve(), { log, signal, ends: 'plugin ends' })
    expect(lines).toEqual([])
  })
})
