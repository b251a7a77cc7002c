import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  findProcesses,
  processGroup,
  processTree,
  repositoryRoot,
  startProcess,
  type StartedProcess,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from './index.ts'

let folder: TemporaryFolder
const started: StartedProcess[] = []

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await Promise.all(started.splice(0).map(async process => await process.stop()))
  await folder.remove()
})

async function shell(script: string, options: { name?: string; stopTimeoutMs?: number } = {}): Promise<StartedProcess> {
  const process = await startProcess({
    name: 'shell',
    command: 'sh',
    args: ['-c', script],
    logDirectory: folder.join('log'),
    ...options,
  })
  started.push(process)
  return process
}

const quickly = (what: string) => ({ what, timeoutMs: 5000 })

describe('startProcess', () => {
  it('stands still, with all of its threads, once it was sent SIGSTOP', async () => {
    const busy = "require('node:worker_threads').isMainThread"
    const source = `if (${busy}) for (let i = 0; i < 4; i += 1) new (require('node:worker_threads').Worker)(__filename); for (;;) ;`
    const path = folder.join('busy.cjs')
    await writeFile(path, source)
    const process = await shell(`exec ${globalThis.process.execPath} ${path}`)
    const states = () =>
      readdirSync(`/proc/${process.pid}/task`).map(thread =>
        readFileSync(`/proc/${process.pid}/task/${thread}/stat`, 'utf8').replace(/^.*\) (.).*$/s, '$1'),
      )
    await waitUntil(() => states().filter(state => state === 'R').length >= 2, quickly('its threads to run'))
    process.kill('SIGSTOP')
    expect(new Set(states())).toEqual(new Set(['T']))
    process.kill('SIGKILL')
  })

  it('writes both outputs to a private log and tells how the process ended', async () => {
    const process = await shell('echo out; echo err >&2; exit 3')
    expect(await process.exited).toEqual({ code: 3, signal: null })
    expect(process.end()).toEqual({ code: 3, signal: null })
    expect((await readFile(process.logPath, 'utf8')).split('\n').sort()).toEqual(['', 'err', 'out'])
    expect((await stat(process.logPath)).mode & 0o777).toBe(0o600)
    expect((await stat(folder.join('log'))).mode & 0o777).toBe(0o700)
  })

  it('passes on nothing of our environment', async () => {
    const process = await startProcess({
      name: 'env',
      command: 'env',
      logDirectory: folder.path,
      environment: { ONE: '1' },
    })
    await process.exited
    expect(
      process
        .logTail()
        .split('\n')
        .map(line => line.split('=')[0])
        .sort(),
    ).toEqual(['ONE', 'PATH'])
  })

  it('fails at once, with the end of the log, when the process ends before its condition comes true', async () => {
    const process = await shell('echo first; echo broken; exit 7')
    await expect(process.waitFor(() => false, { what: 'it listens', timeoutMs: 60_000 })).rejects.toMatchObject({
      code: 'RIG_PROCESS_ENDED',
      message: expect.stringMatching(/shell ended with code 7 before it listens[^]*first\nbroken/) as unknown,
    })
  })

  it('tells of a program that is not there', async () => {
    const process = await startProcess({ name: 'x', command: '/no/such/program', logDirectory: folder.path })
    await expect(process.waitFor(() => false, quickly('it runs'))).rejects.toMatchObject({
      code: 'RIG_PROCESS_ENDED',
      message: expect.stringContaining('/no/such/program') as unknown,
    })
  })

  it('stops by SIGTERM, and by SIGKILL when that is not heard', async () => {
    const polite = await shell('exec sleep 600')
    expect(await polite.stop()).toEqual({ code: null, signal: 'SIGTERM' })
    const deaf = await shell('trap "" TERM; echo ready; while :; do sleep 600; done', {
      name: 'deaf',
      stopTimeoutMs: 100,
    })
    await deaf.waitFor(() => deaf.logTail().includes('ready'), quickly('the trap is set'))
    expect(await deaf.stop()).toEqual({ code: null, signal: 'SIGKILL' })
    expect(deaf.group()).toEqual([])
  })

  it('lets an orphan be seen after a kill, and sweeps it on stop', async () => {
    const parent = await shell('sleep 601 & echo $!; wait')
    const orphanPid = Number(
      await parent.waitFor(() => /^\d+$/.exec(parent.logTail())?.[0], quickly('the child is started')),
    )
    await waitUntil(() => processTree(parent.pid).length === 2, quickly('the tree'))
    expect(processTree(parent.pid).map(({ pid }) => pid)).toEqual([parent.pid, orphanPid])
    parent.kill('SIGKILL')
    await parent.exited
    expect(parent.group().map(({ pid }) => pid)).toEqual([orphanPid])
    await parent.stop()
    await waitUntil(() => processGroup(parent.pid).length === 0, quickly('the sweep'))
    expect(findProcesses(({ pid }) => pid === orphanPid)).toEqual([])
  })

  it('never signals a process after its end', async () => {
    const process = await shell('exit 0')
    await process.exited
    process.kill('SIGKILL')
    expect(await process.stop()).toEqual({ code: 0, signal: null })
  })
})

describe('what was started ends with its starter', () => {
  const endings: readonly (readonly [string, string, NodeJS.Signals | undefined])[] = [
    ['calls process.exit', 'process.exit(0)', undefined],
    ['fails', 'throw new Error("on purpose")', undefined],
    ['gets SIGINT', 'setInterval(() => {}, 1000)', 'SIGINT'],
    ['gets SIGTERM', 'setInterval(() => {}, 1000)', 'SIGTERM'],
    ['gets SIGKILL', 'setInterval(() => {}, 1000)', 'SIGKILL'],
  ]

  it.each(endings)('when it %s', async (_, lastLine, signal) => {
    const script = folder.join('starter.mts')
    const marker = folder.join('marker')
    await writeFile(
      script,
      `import { startProcess } from ${JSON.stringify(join(repositoryRoot(), 'libs/testing/rig/src/process.ts'))}
       const started = await startProcess({ name: 'child', command: 'tail', args: ['-f', '/dev/null', ${JSON.stringify(marker)}],
         logDirectory: ${JSON.stringify(folder.path)} })
       await started.waitFor(() => started.group()[0]?.commandLine[0] === 'tail', { what: 'exec', timeoutMs: 5000 })
       console.log('started')
       ${lastLine}
      `,
    )
    const starter = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'ignore'] })
    const ended = Promise.withResolvers<undefined>()
    starter.once('exit', () => {
      ended.resolve(undefined)
    })
    const said = Promise.withResolvers<undefined>()
    starter.stdout.on('data', () => {
      said.resolve(undefined)
    })
    await said.promise
    if (signal !== undefined) starter.kill(signal)
    await ended.promise
    await waitUntil(() => findProcesses(child => child.commandLine.includes(marker)).length === 0, quickly('its end'))
  })
})
