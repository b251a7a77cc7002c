import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
