import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { type Readable } from 'node:stream'

const WAIT_MS = 20_000
/** Far more than a pipe or a socket takes, and than may wait. */
const LINES = 10_000

type Line = Readonly<Record<string, unknown>>

/** A program whose log goes to a reader that does not read before it is told to. */
interface Program {
  readonly child: ChildProcess
  /** The next message of the program. */
  readonly message: () => Promise<unknown>
  readonly ended: Promise<{ readonly exitCode: number | null; readonly signal: string | null }>
  readonly read: () => void
  /** The lines that were read so far. */
  readonly lines: () => readonly Line[]
}

let folder: TemporaryFolder
let used: DisposableStack

beforeEach(async () => {
  folder = await temporaryFolder()
  used = new DisposableStack()
})

afterEach(async () => {
  used.dispose()
  await folder.remove()
})

const KINDS = ['pipe', 'socket'] as const

/** @param source - code that has `log`, and `fill` to log so many lines that nobody could take them. */
function start(
  kind: (typeof KINDS)[number],
  source: string,
  { saysError = false }: { readonly saysError?: boolean } = {},
): Program {
  const script = `
    import { fstatSync, readFile, readFileSync } from 'node:fs'
    import { setImmediate as nextTurn } from 'node:timers/promises'
    import { programLog } from ${JSON.stringify(join(import.meta.dirname, 'log.ts'))}
    if (!fstatSync(1).${kind === 'pipe' ? 'isFIFO' : 'isSocket'}()) throw new Error('not the kind of output that is tested')
    const log = programLog()
    async function fill() {
      for (let number = 0; number < ${LINES}; number += 1) {
        log.info({ number }, 'one of many')
        if (number % 100 === 0) await nextTurn()
      }
    }
    ${source}
  `
  const args = ['--input-type=module', '--eval', script]
  const path = folder.join('log')
  let reader: (child: ChildProcess) => Readable | null
  let output: number | 'pipe' = 'pipe' // Node gives a child one end of a socket pair for this.
  if (kind === 'socket') reader = child => child.stdout
  else {
    execFileSync('mkfifo', [path])
    const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    output = openSync(path, constants.O_WRONLY)
    reader = () => new Socket({ fd: readEnd, readable: true, writable: false })
  }
  const child = spawn(process.execPath, args, {
    cwd: import.meta.dirname,
    stdio: ['ignore', output, saysError ? 'ignore' : 'inherit', 'ipc'],
  })
  if (output !== 'pipe') closeSync(output)
  const parts: Buffer[] = []
  const messages: unknown[] = []
  child.on('message', message => messages.push(message))
  const ended = once(child, 'exit').then(([exitCode, signal]) => ({
    exitCode: exitCode as number | null,
    signal: signal as string | null,
  }))
  used.defer(() => child.kill('SIGKILL'))
  return {
    child,
    message: () => waitUntil(() => messages.shift() ?? null, { what: 'a message', timeoutMs: WAIT_MS }),
    ended,
    read: () => {
      const stream = reader(child)
      if (stream === null) throw new Error('nothing to read')
      used.defer(() => stream.destroy())
      stream.on('data', (part: Buffer) => parts.push(part))
    },
    lines: () =>
      Buffer.concat(parts)
        .toString()
        .split('\n')
        .slice(0, -1)
        .map(text => JSON.parse(text) as Line),
  }
}

function lastMessage(program: Program): unknown {
  return program.lines().at(-1)?.msg
}

describe.each(KINDS)('a log whose reader hangs, behind a %s,', kind => {
  it('does not stop its program, and has the last lines, and how many are lost, when the reader goes on', async () => {
    const program = start(
      kind,
      `
      await fill()
      const files = await Promise.all(Array.from({ length: 8 }, () => new Promise(resolve => readFile('/proc/self/stat', resolve))))
      process.send({ files: files.filter(failure => failure === null).length, kept: process.memoryUsage().arrayBuffers })
      process.on('message', word => {
        log.info(word)
        process.disconnect()
      })
      `,
    )
    const { files, kept } = (await program.message()) as { files: number; kept: number }
    expect(files).toBe(8)
    expect(kept).toBeLessThan(4_000_000)
    program.read()
    await waitUntil(() => program.lines().at(-1)?.number === LINES - 1, { what: 'the last line', timeoutMs: WAIT_MS })
    program.child.send('goes on')
    await waitUntil(() => lastMessage(program) === 'goes on', { what: 'one more line', timeoutMs: WAIT_MS })
    expect(await program.ended).toEqual({ exitCode: 0, signal: null })

    const lines = program.lines()
    const numbers = lines.flatMap(({ number }) => (number === undefined ? [] : [number as number]))
    const told = lines.filter(({ msg }) => msg === 'lines of the log were lost: nobody took them away')
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    expect(told).toHaveLength(1)
    expect(told[0]).toMatchObject({ level: 'warn', lines: LINES - numbers.length })
    expect(told[0]?.pid).toBe(program.child.pid)
    // It stands where they are missing.
    const place = lines.indexOf(told[0] ?? {})
    const [before, after] = [lines[place - 1]?.number, lines[place + 1]?.number] as [number, number]
    expect(after - before - 1).toBe(told[0]?.lines)
  })

  it.each([
    ['it has nothing more to do', '', 0],
    ['process.exit', 'process.exit(3)', 3],
    ['an error', 'throw new Error("as the test wants it")', 1],
  ])('does not keep its program from ending: %s', async (how, end, exitCode) => {
    const program = start(
      kind,
      `
      await fill()
      log.fatal('the last word')
      // As runProgram of @sealwright/program does.
      if (process.stdout.writableNeedDrain) throw new Error('it is not we who write there')
      process.disconnect()
      ${end}
      `,
      { saysError: how === 'an error' },
    )
    expect(await program.ended).toEqual({ exitCode, signal: null })
  })

  it.each([
    ['process.exit', 'process.exit(3)'],
    ['an error', 'throw new Error("as the test wants it")'],
  ])('has its last words if the reader goes on at the end: %s', async (how, end) => {
    const program = start(
      kind,
      `
      await fill()
      log.warn('the last word')
      process.send('ends', () => { ${end} })
      `,
      { saysError: how === 'an error' },
    )
    expect(await program.message()).toBe('ends')
    program.read()
    await program.ended
    await waitUntil(() => lastMessage(program) === 'the last word', { what: 'the last word', timeoutMs: WAIT_MS })
  })
})

describe('a log that is read', () => {
  it.each(KINDS)('has all lines of a %s, and the last words before an exit', async kind => {
    const program = start(
      kind,
      `for (let number = 0; number < 300; number += 1) log.info({ number }); log.fatal('the last word'); process.exit(3)`,
    )
    program.read()
    expect(await program.ended).toEqual({ exitCode: 3, signal: null })
    await waitUntil(() => lastMessage(program) === 'the last word', { what: 'the last word', timeoutMs: WAIT_MS })
    expect(program.lines()).toHaveLength(301)
  })

  it('leaves a pipe as it is for the other programs that write there', async () => {
    const program = start('pipe', `process.send(readFileSync('/proc/self/fdinfo/1', 'utf8')); process.disconnect()`)
    const [, flags = ''] = /^flags:\s+([0-7]+)$/m.exec((await program.message()) as string) ?? []
    expect([flags, parseInt(flags, 8) & constants.O_NONBLOCK]).toEqual([expect.stringMatching(/^0\d*1$/), 0])
  })
})
