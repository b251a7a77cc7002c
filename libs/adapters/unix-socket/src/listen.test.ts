import { existsSync, linkSync, readdirSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { execFile, spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { listenOnUnixSocket, type SocketOwner } from './index.ts'
import { assertClosedFolder } from './owner.ts'

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

/** Where a server has bound its socket at first. */
function nameOf(server: Server): string {
  const name = server.address()
  if (typeof name !== 'string') throw new Error('it has no path')
  return name
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

  it('never takes a folder', async () => {
    const path = join(folder, 's')
    await mkdir(path)
    await expect(listenOnUnixSocket(newServer(), { path })).rejects.toMatchObject({ code: 'SOCKET_PATH_TAKEN' })
  })

  it('leaves nothing beside the socket, whether it listens or not', async () => {
    const path = join(folder, 's')
    await listenOnUnixSocket(newServer(), { path })
    await expect(listenOnUnixSocket(newServer(), { path })).rejects.toMatchObject({ code: 'SOCKET_IN_USE' })
    expect(await readdir(folder)).toEqual(['s'])
  })

  it('takes the socket away, at once and as often as it is told', async () => {
    const path = join(folder, 's')
    const socket = await listenOnUnixSocket(newServer(), { path })
    socket.remove()
    expect(existsSync(path)).toBe(false)
    socket.remove()
  })

  it('takes away no other socket that came to have its inode later', async () => {
    const path = join(folder, 's')
    const socket = await listenOnUnixSocket(newServer(), { path })
    linkSync(path, join(folder, 'kept'))
    socket.remove()
    // Some file systems give the inode to the next socket; a second name of it makes sure.
    renameSync(join(folder, 'kept'), path)
    socket.remove()
    expect(await read(path)).toBe('hello')
  })

  it('takes nothing away that another program has put in its place', async () => {
    const path = join(folder, 's')
    const server = newServer()
    const socket = await listenOnUnixSocket(server, { path })
    await rm(path)
    await listenOnUnixSocket(newServer(), { path })
    socket.remove()
    await new Promise(resolve => server.close(resolve))
    expect(await read(path)).toBe('hello')
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

describe('listening for another user or group', () => {
  const isRoot = process.geteuid?.() === 0
  const ours = { userId: process.geteuid?.() ?? -1, groupId: process.getegid?.() ?? -1 }
  /** Only root can give a socket away: for others their own user stands in, at whose sockets they may knock. */
  const userId = isRoot ? 12_345 : ours.userId
  const groupId = isRoot ? 54_321 : ours.groupId
  /** Root without what lets it pass by the rights on files, as a unit or a container has it. */
  const asWhom = isRoot ? ['setpriv', '--bounding-set', '-all,+chown', '--inh-caps', '-all,+chown', '--'] : ['env']

  /** What becomes of a program that listens there: `listens`, or a code. */
  async function listenElsewhere(path: string, owner?: SocketOwner): Promise<string> {
    const options = { path, mode: 0o660, ...(owner === undefined ? {} : { owner }) }
    const source = `
      import { createServer } from 'node:net'
      import { listenOnUnixSocket } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
      const ended = await listenOnUnixSocket(createServer(), ${JSON.stringify(options)}).then(() => 'listens', error => error.code)
      process.stdout.write(ended, () => process.exit())`
    const [command, ...args] = [...asWhom, process.execPath, '--input-type=module', '--eval', source]
    return (await promisify(execFile)(command, args)).stdout
  }

  const ownership = async (path: string) => {
    const { uid, gid, mode } = await stat(path)
    return { userId: uid, groupId: gid, mode: mode & 0o777 }
  }

  it.each(['770', '707', '1777'])('gives none away in a folder of mode %s, in which others may put one', async mode => {
    const path = join(folder, 's')
    await chmod(folder, Number.parseInt(mode, 8))
    await expect(listenOnUnixSocket(newServer(), { path, owner: { groupId: ours.groupId } })).rejects.toMatchObject({
      code: 'SOCKET_FOLDER_UNUSABLE',
      message: expect.stringContaining(`has mode 0${mode}`) as unknown,
    })
    expect(await readdir(folder)).toEqual([])
    await listenOnUnixSocket(newServer(), { path })
  })

  it('gives it away in a folder of its owner, which others may read', async () => {
    const path = join(folder, 's')
    await chmod(folder, 0o755)
    await chown(folder, userId, -1)
    await listenOnUnixSocket(newServer(), { path, owner: { userId } })
    expect((await ownership(path)).userId).toBe(userId)
  })

  it('gives it to user and group with its mode, by CAP_CHOWN alone', async () => {
    const path = join(folder, 's')
    expect(await listenElsewhere(path, { userId, groupId })).toBe('listens')
    expect(await ownership(path)).toEqual({ userId, groupId, mode: 0o660 })
  })

  it('has the socket open to nobody else before it belongs to its owner, and there only then', async () => {
    const path = join(folder, 's')
    const server = newServer()
    const modes: unknown[] = []
    server.once('listening', () => {
      const made = nameOf(server)
      modes.push(existsSync(path), statSync(made).mode & 0o777)
    })
    await listenOnUnixSocket(server, { path, mode: 0o666, owner: { groupId: ours.groupId } })
    expect(modes).toEqual([false, 0o600])
    expect(await ownership(path)).toEqual({ ...ours, mode: 0o666 })
    expect(await read(path)).toBe('hello')
  })

  it('gives away no older socket that somebody has given the name of the fresh one', async () => {
    const [path, precious] = [join(folder, 's'), join(folder, 'precious')]
    await listenOnUnixSocket(newServer(), { path: precious })
    const server = newServer()
    server.once('listening', () => {
      const made = readdirSync(folder).find(name => name.endsWith('.new')) ?? ''
      unlinkSync(join(folder, made))
      linkSync(precious, join(folder, made))
    })
    const listening = listenOnUnixSocket(server, { path, mode: 0o666, owner: { groupId: ours.groupId } })
    await expect(listening).rejects.toMatchObject({ code: 'SOCKET_OWNER_REFUSED' })
    expect((await ownership(precious)).mode).toBe(0o600)
  })

  it('gives away no other file that comes into its place, and removes nothing', async () => {
    const path = join(folder, 's')
    const server = newServer()
    server.once('listening', () => {
      const made = nameOf(server)
      renameSync(made, join(folder, 'elsewhere'))
      writeFileSync(path, 'precious', { mode: 0o640 })
      writeFileSync(made, 'another', { mode: 0o640 })
    })
    const listening = listenOnUnixSocket(server, { path, mode: 0o666, owner: { groupId: ours.groupId } })
    await expect(listening).rejects.toMatchObject({ code: 'SOCKET_OWNER_REFUSED' })
    expect([await readFile(path, 'utf8'), (await ownership(path)).mode]).toEqual(['precious', 0o640])
    expect(server.listening).toBe(false)
  })

  it('takes the place of nothing that came while it was made', async () => {
    const path = join(folder, 's')
    const server = newServer()
    server.once('listening', () => {
      writeFileSync(path, 'precious')
    })
    await expect(listenOnUnixSocket(server, { path })).rejects.toMatchObject({ code: 'SOCKET_IN_USE' })
    expect(await readFile(path, 'utf8')).toBe('precious')
    expect(await readdir(folder)).toEqual(['s'])
  })

  it('leaves nothing behind if it cannot be given', async () => {
    const path = join(folder, 's')
    leaveStaleSocket(path)
    const stale = await stat(path)
    // There is no such user.
    const listening = listenOnUnixSocket(newServer(), { path, owner: { userId: 2 ** 32 } })
    await expect(listening).rejects.toMatchObject({ code: 'SOCKET_OWNER_REFUSED' })
    expect(await readdir(folder)).toEqual(['s'])
    expect((await stat(path)).ino).toBe(stale.ino)
  })

  it('takes the place of a stale one that is that user’s', async () => {
    const path = join(folder, 's')
    leaveStaleSocket(path)
    await chmod(path, 0o600)
    await chown(path, userId, -1)
    expect(await listenElsewhere(path, { userId })).toBe('listens')
    expect(await ownership(path)).toEqual({ userId, groupId: ours.groupId, mode: 0o660 })
  })

  it('never takes a live one, which is that user’s again', async () => {
    const path = join(folder, 's')
    await listenOnUnixSocket(newServer(), { path })
    await chown(path, userId, -1)
    expect(await listenElsewhere(path, { userId })).toBe('SOCKET_IN_USE')
    expect(await ownership(path)).toEqual({ userId, groupId: ours.groupId, mode: 0o600 })
    expect(await read(path)).toBe('hello')
  })

  it.each([
    ['of a third user', { userId: 54_321 }],
    ['of another user, where none is given away', undefined],
  ])('leaves one alone that it may not knock at: %s', async (_what, owner) => {
    const path = join(folder, 's')
    leaveStaleSocket(path)
    await (isRoot ? chown(path, userId, -1) : chmod(path, 0))
    expect(await listenElsewhere(path, owner)).toBe('SOCKET_IN_USE')
    expect((await stat(path)).uid).toBe(userId)
  })
})

describe('a socket over which clients send what is secret', () => {
  it('is in no folder that others may write, whoever it is for', async () => {
    const path = join(folder, 's')
    await chmod(folder, 0o770)
    const listening = listenOnUnixSocket(newServer(), { path, closedFolder: true })
    await expect(listening).rejects.toMatchObject({ code: 'SOCKET_FOLDER_UNUSABLE' })
    await listenOnUnixSocket(newServer(), { path })
    await chmod(folder, 0o755)
    await listenOnUnixSocket(newServer(), { path: `${path}2`, closedFolder: true })
    expect(await read(`${path}2`)).toBe('hello')
  })
})

describe('whose folder it is', () => {
  const OURS = process.geteuid?.() ?? -1
  const THIRD = OURS + 1
  const place = (uid: number) => ({ path: '/run/kms/s', folderStatus: { mode: 0o40755n, uid: BigInt(uid) } })

  it.each<[string, number, SocketOwner]>([
    ['root', 0, {}],
    ['this user', OURS, {}],
    ['the user that the socket is for', THIRD, { userId: THIRD }],
  ])('may be %s', (_who, uid, owner) => {
    assertClosedFolder(place(uid), owner)
  })

  it.each<[string, SocketOwner]>([
    ['where it is for a group', { groupId: THIRD }],
    ['where it is for another one', { userId: THIRD + 1 }],
  ])('is no third user, %s', (_where, owner) => {
    expect(() => {
      assertClosedFolder(place(THIRD), owner)
    }).toThrow(
      expect.objectContaining({
        code: 'SOCKET_FOLDER_UNUSABLE',
        message: expect.stringContaining(`/run/kms belongs to user ${THIRD}`) as unknown,
      }) as Error,
    )
  })
})
