import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { type AddressInfo, type NetConnectOpts, type Server, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { hasErrorCode } from '@sealwright/system-error'

/** TPM2_GetRandom of 8 bytes (Part 3, clause 16.1): harmless, and answered only by a started TPM. */
const GET_RANDOM = Buffer.from('80010000000c0000017b0008', 'hex')
/** Its answer: header (10) ‖ size (2) ‖ 8 bytes, beginning with TPM_ST_NO_SESSIONS, that size and TPM_RC_SUCCESS. */
const GET_RANDOM_ANSWER = '80010000001400000000'

/** How long swtpm may take to answer after it was started, on a slow machine. */
const START_TIMEOUT_MS = 15_000
/** How long swtpm may take to end after SIGTERM before it gets SIGKILL. */
const STOP_TIMEOUT_MS = 5_000
const POLL_INTERVAL_MS = 5

/** A software TPM of our own: a real swtpm process on a state folder. */
export type Swtpm = {
  /** Unix socket that carries raw TPM commands. Without a listener while `tcp` is used. */
  readonly socketPath: string
  /** Always `socketPath` + `.ctrl`, as the `swtpm` TCTI of tpm2-tools expects. */
  readonly controlPath: string
  /** The loopback port of the commands with `tcp: true`; the control port is one above. */
  readonly tcpPort: number | undefined
  /** Process id, `undefined` while it does not run. */
  readonly pid: number | undefined
  /** Starts it on the state it has. Resolves when the TPM really answers; does nothing if it runs. */
  start(): Promise<void>
  /** SIGKILL: the TPM sees a power cut. Resolves when the process is gone. */
  kill(): Promise<void>
  /** A power cut and a start. */
  powerCycle(): Promise<void>
  /** Swaps the chip: ends this TPM and starts one with a new, empty state at the same address. */
  replace(): Promise<void>
  /** Ends it in good order. The state stays. */
  stop(): Promise<void>
}

/**
 * Starts a software TPM and waits until it answers.
 *
 * @param options.directory - an existing, private folder for state and sockets; keep it short: a socket path has at most 107 bytes.
 * @param options.tcp - listen on a free pair of loopback ports instead of Unix sockets.
 * @param options.signal - kills the process when it fires.
 * @throws {Error} if swtpm is not installed, ends, or does not answer; with what it printed.
 */
export async function startSwtpm(options: {
  readonly directory: string
  readonly tcp?: boolean
  readonly signal?: AbortSignal
}): Promise<Swtpm> {
  const socketPath = join(options.directory, 'tpm.sock')
  const controlPath = `${socketPath}.ctrl`
  const tcpPort = options.tcp === true ? await findPortPair() : undefined
  const address: NetConnectOpts = tcpPort === undefined ? { path: socketPath } : { host: '127.0.0.1', port: tcpPort }
  let generation = 1
  let running: Running | undefined

  async function start(): Promise<void> {
    // Whoever was told to end is as good as gone: wait for that, so that a start after a kill is never lost.
    if (running?.isEnding === true) await running.ended
    if (running !== undefined && !running.isEnding) return
    options.signal?.throwIfAborted()
    const stateDirectory = join(options.directory, `state-${generation}`)
    await mkdir(stateDirectory, { recursive: true, mode: 0o700 })
    // A power cut leaves the sockets behind, and nobody else uses our folder.
    await rm(socketPath, { force: true })
    await rm(controlPath, { force: true })
    const started = run(
      stateDirectory,
      join(options.directory, 'swtpm.log'),
      channelArguments(tcpPort, socketPath, controlPath),
    )
    running = started
    void started.ended.then(() => {
      if (running === started) running = undefined
    })
    try {
      await waitUntilItAnswers(started, address)
    } catch (cause) {
      await end('SIGKILL')
      throw cause
    }
  }

  async function end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const ending = running
    if (ending === undefined) return
    ending.isEnding = true
    ending.child.kill(signal)
    const waiting = new AbortController()
    const insist = delay(STOP_TIMEOUT_MS, undefined, { signal: waiting.signal }).then(
      () => ending.child.kill('SIGKILL'),
      () => false,
    )
    await ending.ended
    waiting.abort()
    await insist
    if (running === ending) running = undefined
  }

  options.signal?.addEventListener('abort', () => running?.child.kill('SIGKILL'), { once: true })
  await start()
  return {
    socketPath,
    controlPath,
    tcpPort,
    get pid() {
      return running?.child.pid
    },
    start,
    kill: () => end('SIGKILL'),
    powerCycle: async () => {
      await end('SIGKILL')
      await start()
    },
    replace: async () => {
      await end('SIGKILL')
      generation += 1
      await start()
    },
    stop: () => end('SIGTERM'),
  }
}

type Running = {
  readonly child: ChildProcess
  /** Resolves when it has ended, with what it printed. */
  readonly ended: Promise<string>
  readonly isAlive: () => boolean
  isEnding: boolean
}

/** Runs swtpm; `ended` never rejects. */
function run(stateDirectory: string, logPath: string, channels: readonly string[]): Running {
  // A file, not a pipe: swtpm prints a line for every client, and would stop once a busy parent no longer reads.
  const log = openSync(logPath, 'w', 0o600)
  // Should our own process be killed, its TPM must not stay behind.
  const child = spawn(
    'setpriv',
    [
      '--pdeathsig',
      'KILL',
      '--',
      'swtpm',
      'socket',
      '--tpm2',
      '--tpmstate',
      `dir=${stateDirectory}`,
      '--flags',
      'not-need-init,startup-clear',
      ...channels,
    ],
    { stdio: ['ignore', log, log] },
  )
  closeSync(log)
  let alive = true
  const ended = new Promise<string>(resolve => {
    const settle = (text: string) => {
      alive = false
      resolve(text)
    }
    child.once('error', error => {
      settle(String(error))
    })
    child.once('close', (code, signal) => {
      settle(`ended with ${code ?? signal ?? 'nothing'}: ${readLog(logPath)}`)
    })
  })
  return { child, ended, isAlive: () => alive, isEnding: false }
}

/** What swtpm printed. The folder may be gone already when a test tidies up while it ends. */
function readLog(logPath: string): string {
  try {
    return readFileSync(logPath, 'utf8').trim()
  } catch (error) {
    return String(error)
  }
}

function channelArguments(tcpPort: number | undefined, socketPath: string, controlPath: string): readonly string[] {
  if (tcpPort === undefined) {
    return [
      '--server',
      `type=unixio,path=${socketPath},mode=0600`,
      '--ctrl',
      `type=unixio,path=${controlPath},mode=0600`,
    ]
  }
  const bind = 'bindaddr=127.0.0.1'
  return ['--server', `type=tcp,port=${tcpPort},${bind}`, '--ctrl', `type=tcp,port=${tcpPort + 1},${bind}`]
}

async function waitUntilItAnswers(running: Running, address: NetConnectOpts): Promise<void> {
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS)
  while (running.isAlive()) {
    if (await answers(address)) return
    if (deadline.aborted) throw new Error(`swtpm did not answer within ${START_TIMEOUT_MS} ms`)
    await delay(POLL_INTERVAL_MS)
  }
  throw new Error(`swtpm ${await running.ended}`)
}

/** Whether the TPM at `address` answers one TPM2_GetRandom. Any failure means: not yet. */
function answers(address: NetConnectOpts): Promise<boolean> {
  return new Promise(resolve => {
    const received: Buffer[] = []
    const socket = connect(address, () => socket.write(GET_RANDOM))
    const isComplete = () => Buffer.concat(received).byteLength >= 20
    socket.setTimeout(1_000, () => socket.destroy())
    socket.on('data', chunk => {
      received.push(chunk)
      if (isComplete()) socket.destroy()
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      resolve(isComplete() && Buffer.concat(received).toString('hex').startsWith(GET_RANDOM_ANSWER))
    })
  })
}

/** Finds two free ports in a row on loopback: tpm2-tools look for the control channel one above the commands. */
async function findPortPair(): Promise<number> {
  for (;;) {
    const first = await listen(0)
    const port = (first.address() as AddressInfo).port
    try {
      const second = await listen(port + 1)
      await close(second)
      return port
    } catch (cause) {
      if (!hasErrorCode(cause, 'EADDRINUSE')) throw cause
    } finally {
      await close(first)
    }
  }
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      resolve(server)
    })
  })
}

function close(server: Server): Promise<void> {
  return new Promise(resolve =>
    server.close(() => {
      resolve()
    }),
  )
}
