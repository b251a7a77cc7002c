import {
  startProcess,
  type StartedProcess,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { KeyManagementService } from './generated/v2/api_pb.ts'
import { kmsClient } from './testing/kms-client.ts'

const isRoot = process.geteuid?.() === 0
/** Only root can give a socket away: others give it to themselves. */
const userId = isRoot ? 12_345 : (process.geteuid?.() ?? -1)
const groupId = isRoot ? 54_321 : (process.getegid?.() ?? -1)
/** Root as the unit and the static pod have it: with CAP_CHOWN alone. */
const asWhom = isRoot ? ['setpriv', '--bounding-set', '-all,+chown', '--inh-caps', '-all,+chown', '--'] : []

const source = `
  import { serveKmsV2 } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
  import { listenOnUnixSocket } from '@sealwright/unix-socket'

  const [path, owner] = process.argv.slice(1)
  const service = { status: () => ({ version: 'v2', healthz: 'ok', keyId: 'k' }) }
  try {
    await serveKmsV2({ service, path, mode: 0o660, owner: JSON.parse(owner), listen: listenOnUnixSocket, now: () => 0, onFailure: console.error })
    console.log('serves')
  } catch (error) {
    console.log(error.code)
    process.exit(7)
  }
`

let used: AsyncDisposableStack
let folder: TemporaryFolder
let path: string

beforeEach(async () => {
  used = new AsyncDisposableStack()
  folder = used.use(await temporaryFolder())
  path = folder.join('kms.sock')
})

afterEach(async () => {
  await used.disposeAsync()
})

/** Starts a server, and waits for its one line. */
async function start(name: string, owner: object): Promise<{ readonly server: StartedProcess; readonly line: string }> {
  const server = used.use(
    await startProcess({
      ...{ name, command: 'env', logDirectory: folder.path, workingDirectory: import.meta.dirname },
      args: [...asWhom, process.execPath, '--input-type=module', '--eval', source, '--', path, JSON.stringify(owner)],
    }),
  )
  const line = await waitUntil(() => /^(?:serves|[A-Z_]+)$/m.exec(server.logTail())?.[0] ?? false, {
    what: 'its line',
    timeoutMs: 20_000,
  })
  return { server, line }
}

async function healthz(): Promise<string> {
  using client = kmsClient(path)
  return (await client.call(KeyManagementService.method.status, {})).healthz
}

function ownership(): object {
  const { uid, gid, mode } = statSync(path)
  return { uid, gid, mode: mode & 0o777 }
}

describe('a server that may do nothing but give files away', () => {
  it('gives its socket to user and group with its mode, and takes the place of one that was killed', async () => {
    const first = await start('first', { userId, groupId })
    expect(first.line).toBe('serves')
    expect(ownership()).toEqual({ uid: userId, gid: groupId, mode: 0o660 })
    first.server.kill('SIGKILL')
    await first.server.exited

    expect((await start('second', { userId, groupId })).line).toBe('serves')
    expect(ownership()).toEqual({ uid: userId, gid: groupId, mode: 0o660 })
    expect(await healthz()).toBe('ok')
  })

  it('never takes the socket of one that serves, which stays its user’s', async () => {
    expect((await start('first', { userId, groupId })).line).toBe('serves')
    expect((await start('second', { userId, groupId })).line).toBe('SOCKET_IN_USE')
    expect(ownership()).toEqual({ uid: userId, gid: groupId, mode: 0o660 })
    expect(await healthz()).toBe('ok')
  })
})
