import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { hasErrorCode } from '@sealwright/system-error'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Of Node, for a program whose main is the given code. */
function argumentsFor(main: string, andThen = ''): readonly string[] {
  const program = `
    import { runProgram } from ${JSON.stringify(join(__dirname, 'run.ts'))}
    const coded = (code, message) => Object.assign(new Error(message), { code })
    await runProgram({ name: 'prog', exitCodes: { KNOWN_CODE: 42 }, main: async signal => { ${main} } })
    ${andThen}`
  return ['--input-type=module', '-e', program]
}

/** Runs a program whose main is the given code, and does something to it when it says that it runs. */
async function run(
  main: string,
  whenRunning: (kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<Ended> {
  const child = spawn(process.execPath, argumentsFor(main), { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    if (text.includes('running')) whenRunning(signal => child.kill(signal))
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return await new Promise(resolve => {
    child.once('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr })
    })
  })
}

const waitForSignal = `
  console.log('running')
  const alive = setInterval(() => {}, 1000)
  await new Promise((_, reject) => signal.addEventListener('abort', () => { clearInterval(alive); reject(signal.reason) }))`

describe('a program', () => {
  it('ends with the code that its main returns', async () => {
    expect(await run('return 3')).toMatchObject({ code: 3, stderr: '' })
  })

  it('prints the code and the message of a failure, and never its causes', async () => {
    const { code, stderr } = await run(
      "throw Object.assign(coded('KNOWN_CODE', 'what to do'), { cause: new Error('the secret') })",
    )
    expect(code).toBe(42)
    expect(stderr).toBe('prog: KNOWN_CODE: what to do\n')
  })

  it('ends with 1 for a failure that its table does not list', async () => {
    expect(await run("throw new RangeError('a bug')")).toMatchObject({ code: 1, stderr: 'prog: RangeError: a bug\n' })
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('is told to stop by %s, and ends quietly with 130', async signal => {
    const ended = await run(waitForSignal, kill => {
      kill(signal)
    })
    expect(ended).toMatchObject({ code: 130, signal: null, stderr: '' })
  })

  it('opens no debugger for SIGUSR1', async () => {
    const ended = await run(waitForSignal, kill => {
      kill('SIGUSR1')
      kill('SIGTERM')
    })
    expect(ended).toMatchObject({ code: 130, stderr: '' })
  })
})

describe('the last words of a program that fails', () => {
  /** Tells of it once what it has to say was given away, and is not taken. */
  const FAILS = "setImmediate(() => process.send('waits')); throw coded('KNOWN_CODE', 'what to do')"
  const WAIT_MS = 20_000
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

  /** Starts it with a stderr that is full already. @returns what tells of its end, and what makes its reader go on. */
  function startBehindFullPipe(andThen: string) {
    const path = folder.join('pipe')
    execFileSync('mkfifo', [path])
    const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const writeEnd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
    fill(writeEnd)
    const child: ChildProcess = spawn(process.execPath, argumentsFor(FAILS, andThen), {
      stdio: ['ignore', 'ignore', writeEnd, 'ipc'],
    })
    closeSync(writeEnd)
    used.defer(() => child.kill('SIGKILL'))
    let text = ''
    const read = (): void => {
      // Begins to take away as soon as it is made.
      const reader = new Socket({ fd: readEnd, readable: true, writable: false })
      used.defer(() => reader.destroy())
      reader.setEncoding('latin1').on('data', (part: string) => (text += part))
    }
    return { child, read, text: () => text, ended: () => child.exitCode ?? child.signalCode }
  }

  function fill(fd: number): void {
    const part = Buffer.alloc(4_096, '.')
    try {
      for (;;) writeSync(fd, part)
    } catch (error) {
      if (!hasErrorCode(error, 'EAGAIN')) throw error
    }
  }

  it.each([
    ['it ends by itself', ''],
    ['it is ended at once', 'process.exit()'],
  ])('reach a reader that goes on after a while, where %s', async (_how, andThen) => {
    const program = startBehindFullPipe(andThen)
    await Promise.race([once(program.child, 'message'), once(program.child, 'exit')])
    program.read()
    expect(await waitUntil(program.ended, { what: 'the end', timeoutMs: WAIT_MS })).toBe(42)
    const isThere = () => program.text().endsWith('.prog: KNOWN_CODE: what to do\n')
    await waitUntil(isThere, { what: 'the last words', timeoutMs: WAIT_MS })
  })

  it('do not keep it from ending where the reader hangs', async () => {
    const program = startBehindFullPipe('')
    expect(await waitUntil(program.ended, { what: 'the end', timeoutMs: WAIT_MS })).toBe(42)
    program.read()
    await waitUntil(() => /^\.+$/.test(program.text()), { what: 'what stood before them', timeoutMs: WAIT_MS })
  })

  it('do not change how it ends where the reader has gone', async () => {
    const main = "await new Promise(resolve => process.once('message', resolve)); throw coded('KNOWN_CODE', 'x')"
    const child = spawn(process.execPath, argumentsFor(main, 'process.disconnect()'), {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    used.defer(() => child.kill('SIGKILL'))
    child.stderr?.destroy()
    child.send('the reader has gone')
    expect(await once(child, 'exit')).toEqual([42, null])
  })
})
