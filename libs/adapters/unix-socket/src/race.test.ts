import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitUntil } from '@sealwright/testing-rig'
import { claimPlace } from './claim.ts'
import { listenOnUnixSocket } from './index.ts'
import { openPlace, type SocketPlace } from './place.ts'

const STARTS = 8
const ROUNDS = 4
const WAIT_MS = 30_000
const isRoot = process.geteuid?.() === 0
/** Only root can be somebody else: for others their own user stands in. */
const OTHER_USER = isRoot ? 12_345 : (process.geteuid?.() ?? -1)
/** Root without what lets it pass by the rights on files, as a unit or a container has it. */
const CHOWN_ALONE = isRoot ? ['setpriv', '--bounding-set', '-all,+chown', '--inh-caps', '-all,+chown', '--'] : ['env']

let folder: string
let path: string
let children: ChildProcess[]
let servers: Server[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'us-'))
  path = join(folder, 's')
  children = []
  servers = []
})

afterEach(async () => {
  for (const server of servers) server.close()
  await Promise.all(children.map(endOf))
  await rm(folder, { recursive: true })
})

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

function newServer(answer: string): Server {
  const server = createServer(socket => socket.on('error', () => socket.destroy()).end(answer))
  servers.push(server)
  return server
}

async function read(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of connect(path)) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

/** Runs a module in a program of its own. */
function start(
  source: string,
  asWhom: readonly string[] = ['env'],
): { readonly child: ChildProcess; readonly output: () => string } {
  const [command, ...args] = [...asWhom, process.execPath, '--input-type=module', '--eval', source]
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  return { child, output: () => text }
}

const moduleUrl = (file: string) => JSON.stringify(join(import.meta.dirname, file))

/** Waits for a file called `go`, so that all start in the same moment; says what came of it, and goes on listening. */
function startListener(asWhom?: readonly string[]) {
  return start(
    `
    import { createServer } from 'node:net'
    import { existsSync } from 'node:fs'
    import { listenOnUnixSocket } from ${moduleUrl('index.ts')}
    const server = createServer(socket => socket.on('error', () => socket.destroy()).end(String(process.pid)))
    process.stdout.write('ready ')
    while (!existsSync(${JSON.stringify(join(folder, 'go'))}));
    process.stdout.write(await listenOnUnixSocket(server, { path: ${JSON.stringify(path)} }).then(() => 'listens.', error => error.code + '.'))`,
    asWhom,
  )
}

async function outcomeWithChownAlone(): Promise<string> {
  await writeFile(join(folder, 'go'), '')
  const { output } = startListener(CHOWN_ALONE)
  await waitUntil(() => output().endsWith('.'), { what: 'the outcome', timeoutMs: WAIT_MS })
  await rm(join(folder, 'go'))
  return output()
}

/** A socket whose owner was killed: the file stays, nobody listens. */
function leaveStaleSocket(): void {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  expect(spawnSync(process.execPath, ['-e', script]).signal).toBe('SIGKILL')
}

describe('many programs that start on one socket in the same moment', () => {
  it('leave one that listens, which is reached at the path, and all others say that it is in use', async () => {
    leaveStaleSocket()
    for (let round = 0; round < ROUNDS; round += 1) {
      const listeners = Array.from({ length: STARTS }, () => startListener())
      await waitUntil(() => listeners.every(({ output }) => output() === 'ready '), { what: 'all', timeoutMs: WAIT_MS })
      await writeFile(join(folder, 'go'), '')
      await waitUntil(() => listeners.every(({ output }) => output().endsWith('.')), {
        what: 'all',
        timeoutMs: WAIT_MS,
      })
      const outcomes = listeners.map(({ output }) => output()).sort()
      expect(outcomes).toEqual([...new Array<string>(STARTS - 1).fill('ready SOCKET_IN_USE.'), 'ready listens.'])
      const winner = listeners.find(({ output }) => output() === 'ready listens.')
      expect(await read()).toBe(String(winner?.child.pid))
      expect(readdirSync(folder).sort()).toEqual(['go', 's'])
      // Which leaves a stale socket for the next round.
      await Promise.all(listeners.map(({ child }) => endOf(child)))
      await rm(join(folder, 'go'))
    }
  })

  it('leave one that listens in one program too, whether a stale socket is there or none', async () => {
    for (const prepare of [leaveStaleSocket, () => undefined]) {
      await rm(path, { force: true })
      prepare()
      const names = Array.from({ length: 20 }, (_, index) => String(index))
      const outcomes = await Promise.allSettled(names.map(name => listenOnUnixSocket(newServer(name), { path })))
      const winners = names.filter((_name, index) => outcomes[index]?.status === 'fulfilled')
      expect(winners).toEqual([await read()])
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'SOCKET_IN_USE' })
      }
      expect(readdirSync(folder)).toEqual(['s'])
    }
  })
})

describe('a claim', () => {
  it('keeps all others out until it is given up', async () => {
    await using place = await openPlace(path)
    const first = await claimPlace(place)
    let looks = 0
    let isSecondMade = false
    const looking: SocketPlace = {
      ...place,
      names: () => {
        looks += 1
        return place.names()
      },
    }
    const claiming = claimPlace(looking).then(second => {
      isSecondMade = true
      return second
    })
    await waitUntil(() => looks > 5, { what: 'looks', timeoutMs: WAIT_MS })
    expect(isSecondMade).toBe(false)
    await first[Symbol.asyncDispose]()
    const second = await claiming
    expect(await place.names()).toEqual([second.name])
    await second[Symbol.asyncDispose]()
    expect(readdirSync(folder)).toEqual([])
  })

  it('is of one socket, not of its whole folder', async () => {
    await using place = await openPlace(path)
    const claim = await claimPlace(place)
    await listenOnUnixSocket(newServer('other'), { path: join(folder, 'other') })
    expect(await place.names()).toEqual([claim.name])
    await claim[Symbol.asyncDispose]()
  })

  it('of a program that was killed keeps nobody out, and is taken away', async () => {
    const { child, output } = start(`
      import { claimPlace } from ${moduleUrl('claim.ts')}
      import { openPlace } from ${moduleUrl('place.ts')}
      await claimPlace(await openPlace(${JSON.stringify(path)}))
      process.stdout.write('claimed')`)
    await waitUntil(() => output() === 'claimed', { what: 'the claim', timeoutMs: WAIT_MS })
    await endOf(child)
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/^\.socket-[0-9a-f]{8}-[0-9a-f]{16}\.claim$/)])
    await listenOnUnixSocket(newServer('next'), { path })
    expect(await read()).toBe('next')
    expect(readdirSync(folder)).toEqual(['s'])
  })

  it.each([
    ['is taken away by root with CAP_CHOWN alone', process.geteuid?.() ?? -1, 0o755, []],
    ['stays in a sticky folder of that user, and keeps nobody out', OTHER_USER, 0o1777, isRoot ? ['the claim'] : []],
  ])('of another user’s program that was killed %s', async (_what, folderOwner, mode, left) => {
    await chmod(folder, 0o777)
    await chown(folder, folderOwner, -1)
    const { child, output } = start(`
      import { claimPlace } from ${moduleUrl('claim.ts')}
      import { openPlace } from ${moduleUrl('place.ts')}
      process.setuid(${OTHER_USER})
      await claimPlace(await openPlace(${JSON.stringify(path)}))
      process.stdout.write('claimed')`)
    await waitUntil(() => output() === 'claimed', { what: 'the claim', timeoutMs: WAIT_MS })
    await endOf(child)
    const [claim = ''] = readdirSync(folder)
    const { uid, mode: claimMode } = statSync(join(folder, claim))
    expect([uid, claimMode & 0o777]).toEqual([OTHER_USER, 0o666])
    await chmod(folder, mode)
    expect(await outcomeWithChownAlone()).toBe('ready listens.')
    expect(
      readdirSync(folder)
        .sort()
        .map(name => (name === claim ? 'the claim' : name)),
    ).toEqual([...left, 's'])
  })

  it('is a socket: nothing else of such a name keeps anybody out, or is taken away', async () => {
    await using place = await openPlace(path)
    const [aFolder, aFile, ofNobody] = [place.freshName('new'), place.freshName('claim'), place.freshName('claim')]
    await mkdir(place.at(aFolder))
    await writeFile(place.at(aFile), 'precious')
    await writeFile(place.at(ofNobody), 'precious', { mode: 0 })
    expect(await outcomeWithChownAlone()).toBe('ready listens.')
    expect(readdirSync(folder).sort()).toEqual([aFolder, aFile, ofNobody, 's'].sort())
  })

  it('of a program that was stopped keeps others out for ten seconds, and they say so', async () => {
    const { child, output } = start(`
      import { claimPlace } from ${moduleUrl('claim.ts')}
      import { openPlace } from ${moduleUrl('place.ts')}
      await claimPlace(await openPlace(${JSON.stringify(path)}))
      process.stdout.write('claimed')`)
    await waitUntil(() => output() === 'claimed', { what: 'the claim', timeoutMs: WAIT_MS })
    child.kill('SIGSTOP')
    const [claim = ''] = readdirSync(folder)
    await expect(listenOnUnixSocket(newServer('next'), { path })).rejects.toMatchObject({
      code: 'SOCKET_IN_USE',
      message: expect.stringContaining(claim) as unknown,
    })
    expect(readdirSync(folder)).toEqual([claim])
  })
})
