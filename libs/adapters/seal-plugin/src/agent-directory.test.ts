import { type TemporaryFolder, temporaryFolder } from '@sealwright/testing-rig'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type Server, createServer } from 'node:net'
import { once } from 'node:events'
import { prepareAgentDirectory } from './agent-directory.ts'
import { SealPluginError } from './errors.ts'

let folder: TemporaryFolder
let directory: string

beforeEach(async () => {
  folder = await temporaryFolder()
  directory = folder.join('seal')
})

afterEach(() => folder.remove())

function prepare(groupId?: number) {
  return prepareAgentDirectory({ path: directory, groupId, mkfifoPath: 'mkfifo' })
}

async function codeOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run()
    return 'prepared'
  } catch (error) {
    return error instanceof SealPluginError ? error.code : String(error)
  }
}

function modeOf(path: string): string {
  return (lstatSync(path).mode & 0o7777).toString(8)
}

async function listen(path: string): Promise<Server> {
  const server = createServer().listen({ path })
  await once(server, 'listening')
  return server
}

/** A socket whose program was killed: the file stays. */
function leaveStaleSocket(path: string): void {
  const program = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  expect(() => execFileSync(process.execPath, ['-e', program, path])).toThrow()
  expect(lstatSync(path).isSocket()).toBe(true)
}

describe('prepareAgentDirectory', () => {
  it('makes everything for our own user alone when there is no group', async () => {
    const made = await prepare()
    expect(['', 'out', 's', 'in'].map(name => modeOf(`${directory}/${name}`))).toEqual(['700', '700', '700', '600'])
    expect([made.replyPipeMode, made.socketMode]).toEqual([0o600, 0o600])
    expect(lstatSync(made.requestPipePath).isFIFO()).toBe(true)
  })

  it('lets the group pass and write requests, but not list and not read them', async () => {
    const groupId = process.getegid?.() ?? 0
    const made = await prepare(groupId)
    expect(['', 'out', 's', 'in'].map(name => modeOf(`${directory}/${name}`))).toEqual(['2710', '2710', '2710', '620'])
    expect([made.replyPipeMode, made.socketMode]).toEqual([0o440, 0o660])
    expect(lstatSync(made.requestPipePath).gid).toBe(groupId)
  })

  it('can be used again, keeps the request pipe, and narrows modes that were widened', async () => {
    const { requestPipePath } = await prepare()
    const inode = lstatSync(requestPipePath).ino
    chmodSync(directory, 0o777)
    chmodSync(requestPipePath, 0o666)
    await prepare()
    expect([modeOf(directory), modeOf(requestPipePath)]).toEqual(['700', '600'])
    expect(lstatSync(requestPipePath).ino).toBe(inode)
  })

  it('removes stale sockets and pipes', async () => {
    await prepare()
    leaveStaleSocket(`${directory}/s/old.sock`)
    execFileSync('mkfifo', ['-m', '0440', `${directory}/out/old`])
    await prepare()
    expect([...readdirSync(`${directory}/s`), ...readdirSync(`${directory}/out`)]).toEqual([])
  })

  it('leaves a live socket alone and refuses', async () => {
    await prepare()
    const server = await listen(`${directory}/s/live.sock`)
    expect(await codeOf(prepare)).toBe('SEAL_PLUGIN_DIRECTORY_IN_USE')
    expect(existsSync(`${directory}/s/live.sock`)).toBe(true)
    server.close()
    await once(server, 'close')
  })

  it('refuses while somebody reads the request pipe', async () => {
    const { requestPipePath } = await prepare()
    const reader = openSync(requestPipePath, constants.O_RDONLY | constants.O_NONBLOCK)
    expect(await codeOf(prepare)).toBe('SEAL_PLUGIN_DIRECTORY_IN_USE')
    closeSync(reader)
    expect(await codeOf(prepare)).toBe('prepared')
  })

  it.each(['s/a.sock', 'out/a', 'in'])('never takes a regular file in the place of %s', async name => {
    await prepare()
    const path = `${directory}/${name}`
    if (name === 'in') execFileSync('rm', [path])
    writeFileSync(path, 'somebody needs this')
    expect(await codeOf(prepare)).toBe('SEAL_PLUGIN_FOREIGN_FILE')
    expect(lstatSync(path).size).toBe(19)
  })

  it('refuses a folder that is a link or a file', async () => {
    mkdirSync(folder.join('elsewhere'))
    symlinkSync(folder.join('elsewhere'), directory)
    expect(await codeOf(prepare)).toBe('SEAL_PLUGIN_DIRECTORY_UNSAFE')
    directory = folder.join('file')
    writeFileSync(directory, '')
    expect(await codeOf(prepare)).toBe('SEAL_PLUGIN_DIRECTORY_UNSAFE')
  })

  it.each([
    ['relative', 'seal'],
    ['with a bar', '/tmp/a|b'],
    ['with a space', '/tmp/a b'],
    ['too long for a socket', `/tmp/${'x'.repeat(60)}`],
  ])('refuses a path that is %s', async (_name, path) => {
    directory = path
    expect(await codeOf(prepare)).toBe('SEAL_PLUGIN_PATH_INVALID')
  })

  it('says when the parent is missing, or mkfifo', async () => {
    directory = folder.join('missing/seal')
    expect(await codeOf(prepare)).toBe('SEAL_PLUGIN_IO_FAILED')
    directory = folder.join('seal')
    const withoutProgram = () =>
      prepareAgentDirectory({ path: directory, groupId: undefined, mkfifoPath: '/nowhere/mkfifo' })
    expect(await codeOf(withoutProgram)).toBe('SEAL_PLUGIN_MKFIFO_FAILED')
  })
})
