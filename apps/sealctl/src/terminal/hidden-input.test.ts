import { PassThrough } from 'node:stream'
import { hiddenInput } from './hidden-input.ts'

const MAX_BYTES = 64

interface FakeTerminal {
  readonly stdin: PassThrough & { setRawMode: (isRaw: boolean) => void }
  readonly modes: boolean[]
  readonly shown: () => string
  readonly controller: AbortController
  readonly open: () => ReturnType<typeof hiddenInput>
}

function fakeTerminal(): FakeTerminal {
  const modes: boolean[] = []
  const controller = new AbortController()
  const stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (isRaw: boolean) => {
      modes.push(isRaw)
    },
  })
  const stderr = new PassThrough()
  const context = {
    ...{ stdin, stderr, stdout: stderr, signal: controller.signal, now: () => new Date() },
    interrupt: () => {
      controller.abort(new Error('stopped by SIGINT'))
    },
  }
  return {
    ...{ stdin, modes, controller },
    shown: () => (stderr.read() as Buffer | null)?.toString() ?? '',
    open: () => hiddenInput(context, MAX_BYTES),
  }
}

async function textOf(line: ReturnType<ReturnType<typeof hiddenInput>['ask']>): Promise<string | undefined> {
  return (await line)?.reveal(bytes => Buffer.from(bytes).toString())
}

describe('hidden input', () => {
  it('shows the question and nothing of the answer, wipes what came, and gives the terminal back', async () => {
    const terminal = fakeTerminal()
    const bytes = Buffer.from('secret\r')
    {
      using input = terminal.open()
      terminal.stdin.write(bytes)
      expect(await textOf(input.ask('Share: '))).toBe('secret')
    }
    expect(terminal.shown()).toBe('Share: \n')
    expect(terminal.modes).toEqual([true, false])
    expect([...bytes]).toEqual(Array.from(bytes, () => 0))
    expect(terminal.stdin.isPaused()).toBe(true)
    expect(terminal.stdin.listenerCount('data')).toBe(0)
  })

  it('keeps what was pasted ahead for the next question', async () => {
    const terminal = fakeTerminal()
    using input = terminal.open()
    terminal.stdin.write('one\rtwo\rthr')
    expect(await textOf(input.ask('? '))).toBe('one')
    expect(await textOf(input.ask('? '))).toBe('two')
    const third = textOf(input.ask('? '))
    terminal.stdin.write('ee\r')
    expect(await third).toBe('three')
  })

  it.each([
    ['Ctrl-D', (terminal: FakeTerminal) => terminal.stdin.write('\x04')],
    ['a terminal that goes away', (terminal: FakeTerminal) => terminal.stdin.end()],
  ])('ends with %s', async (_what, end) => {
    const terminal = fakeTerminal()
    using input = terminal.open()
    const answer = input.ask('? ')
    end(terminal)
    expect(await answer).toBeUndefined()
  })

  it('is ended by Ctrl-C and by a signal alike, with the terminal as it was', async () => {
    for (const act of [
      (terminal: FakeTerminal) => terminal.stdin.write('half a share\x03'),
      ({ controller }: FakeTerminal) => {
        controller.abort(new Error('stopped by SIGTERM'))
      },
    ]) {
      const terminal = fakeTerminal()
      {
        using input = terminal.open()
        const answer = input.ask('? ')
        act(terminal)
        await expect(answer).rejects.toThrow('stopped by')
      }
      expect(terminal.modes).toEqual([true, false])
    }
  })
})
