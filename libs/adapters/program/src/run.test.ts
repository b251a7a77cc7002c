import { spawn } from 'node:child_process'
import { join } from 'node:path'

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program whose main is the given code, and does something to it when it says that it runs. */
async function run(
  main: string,
  whenRunning: (kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<Ended> {
  const program = `
    import { runProgram } from ${JSON.stringify(join(__dirname, 'run.ts'))}
    const coded = (code, message) => Object.assign(new Error(message), { code })
    await runProgram({ name: 'prog', exitCodes: { KNOWN_CODE: 42 }, main: async signal => { ${main} } })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] })
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
