import { chmod, chown, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { execFile, spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { listenOnUnixSocket } from './index.ts'

let folder: string
let servers: Server[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'us-'))
  servers = []
})

afterEach(async () => {
  for (const server of servers) server.close()
  await rm(folder, { recursive: true })
})

function newServer(): Server {
  // The probe of a second listener hangs up at once: that is no error of this server.
  const server = createServer(socket => socket.on('error', () => socket.destroy()).end('hello'))
  servers.push(server)
  return server
}

async function read(path: string): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of connect(path)) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

/** The process mask, as the kernel tells it: asking Node would set it. */
async function maskInForce(): Promise<string | undefined> {
  return /^Umask:\t(\d+)$/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1]
}

/** A socket whose owner was killed: the file stays, nobody listens. */
function leaveStaleSocket(path: string): void {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  expect(spawnSync(process.execPath, ['-e', script]).signal).toBe('SIGKILL')
}

describe('listening on a Unix socket', () => {
  it('makes the socket with the asked mode and no wider', async () => {
    const path = join(folder, 's')
    await listenOnUnixSocket(newServer(), { path })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await read(path)).toBe('hello')
  })

  it('leaves the process mask as it was', async () => {
    const before = await maskInForce()
    await listenOnUnixSocket(newServer(), { path: join(folder, 's'), mode: 0o660 })
    expect(await maskInForce()).toBe(before)
    expect((await stat(join(folder, 's'))).mode & 0o777).toBe(0o660)
  })

  it('takes the place of a stale socket', async () => {
    const path = join(folder, 's')
    leaveStaleSocket(path)
    await listenOnUnixSocket(newServer(), { path })
    expect(await read(path)).toBe('hello')
  })

  it('says that another took it, where many find the same stale socket at once', async () => {
    const path = join(folder, 's')
    leaveStaleSocket(path)
    const all = Array.from({ length: 8 }, () => newServer())
    const outcomes = await Promise.allSettled(
      all.map(async server => {
        await listenOnUnixSocket(server, { path })
      }),
    )
    const refused = outcomes.filter(outcome => outcome.status === 'rejected')
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'SOCKET_IN_USE' })
    expect(await read(path)).toBe('hello')
  })

  it('never takes a live socket', async () => {
    const path = join(folder, 's')
    await listenOnUnixSocket(newServer(), { path })
    await expect(listenOnUnixSocket(newServer(), { path })).rejects.toMatchObject({ code: 'SOCKET_IN_USE' })
    expect(await read(path)).toBe('hello')
  })

  it('never takes a regular file', async () => {
    const path = join(folder, 's')
    await writeFile(path, 'precious')
    await expect(listenOnUnixSocket(newServer(), { path })).rejects.toMatchObject({ code: 'SOCKET_PATH_TAKEN' })
    expect(await readFile(path, 'utf8')).toBe('precious')
  })

  it('never follows a symbolic link', async () => {
    const path = join(folder, 's')
    await symlink(join(folder, 'elsewhere'), path)
    await expect(listenOnUnixSocket(newServer(), { path })).rejects.toMatchObject({ code: 'SOCKET_PATH_TAKEN' })
  })

  it('says that the folder is missing', async () => {
    const path = join(folder, 'absent', 's')
    await expect(listenOnUnixSocket(newServer(), { path })).rejects.toMatchObject({ code: 'SOCKET_FOLDER_UNUSABLE' })
  })

  it('refuses a path that the kernel would cut off', async () => {
    const path = join(folder, 'x'.repeat(108))
    await expect(listenOnUnixSocket(newServer(), { path })).rejects.toMatchObject({ code: 'SOCKET_PATH_TOO_LONG' })
  })
})

describe('listening where the socket is given to another user', () => {
  const isRoot = process.geteuid?.() === 0
  /** Only root can give a socket away: for others their own user stands in, at whose sockets they may knock. */
  const userId = isRoot ? 12_345 : (process.geteuid?.() ?? -1)
  /** Root without what lets it pass by the rights on files, as a unit or a container has it. */
  const asWhom = isRoot ? ['setpriv', '--bounding-set', '-all,+chown', '--inh-caps', '-all,+chown', '--'] : ['env']

  /** What becomes of a program that listens there: `listens`, or a code. */
  async function listenElsewhere(path: string, givenToUserId?: number): Promise<string> {
    const options = { path, ...(givenToUserId === undefined ? {} : { givenToUserId }) }
    const source = `
      import { createServer } from 'node:net'
      import { listenOnUnixSocket } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
      const ended = await listenOnUnixSocket(createServer(), ${JSON.stringify(options)}).then(() => 'listens', error => error.code)
      process.stdout.write(ended, () => process.exit())`
    const [command, ...args] = [...asWhom, process.execPath, '--input-type=module', '--eval', source]
    return (await promisify(execFile)(command, args)).stdout
  }

  it('takes the place of a stale one that is that user’s', async () => {
    const path = join(folder, 's')
    leaveStaleSocket(path)
    await chmod(path, 0o600)
    await chown(path, userId, -1)
    expect(await listenElsewhere(path, userId)).toBe('listens')
    expect((await stat(path)).uid).toBe(process.geteuid?.())
  })

  it('never takes a live one, which is that user’s again', async () => {
    const path = join(folder, 's')
    await listenOnUnixSocket(newServer(), { path })
    await chown(path, userId, -1)
    expect(await listenElsewhere(path, userId)).toBe('SOCKET_IN_USE')
    const { uid, mode } = await stat(path)
    expect([uid, mode & 0o777]).toEqual([userId, 0o600])
    expect(await read(path)).toBe('hello')
  })

  it.each([
    ['of a third user', 54_321],
    ['of another user, where none is given away', undefined],
  ])('leaves one alone that it may not knock at: %s', async (_what, givenToUserId) => {
    const path = join(folder, 's')
    leaveStaleSocket(path)
    await (isRoot ? chown(path, userId, -1) : chmod(path, 0))
    expect(await listenElsewhere(path, givenToUserId)).toBe('SOCKET_IN_USE')
    expect((await stat(path)).uid).toBe(userId)
  })
})
