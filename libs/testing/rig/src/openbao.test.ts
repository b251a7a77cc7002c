import { randomBytes } from 'node:crypto'
import { chmod, stat, writeFile } from 'node:fs/promises'
import {
  certificateAuthority,
  freePort,
  type OpenBaoNode,
  startOpenBao,
  temporaryFolder,
  type TemporaryFolder,
} from './index.ts'

let folder: TemporaryFolder
let nodes: OpenBaoNode[] = []

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await Promise.all(nodes.map(async node => await node.stop()))
  nodes = []
  await folder.remove()
})

async function staticKeyFile(): Promise<string> {
  const keyFile = folder.join('seal.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  return keyFile
}

async function start(options: Partial<Parameters<typeof startOpenBao>[0]> & { nodeId: string }): Promise<OpenBaoNode> {
  const node = await startOpenBao({
    directory: folder.join(options.nodeId),
    apiPort: await freePort(),
    clusterPort: await freePort(),
    seal: { kind: 'shamir' },
    ...options,
  })
  nodes.push(node)
  return node
}

async function initialise(node: OpenBaoNode): Promise<string> {
  const { status, body } = await node.request({
    method: 'PUT',
    path: 'sys/init',
    body: { recovery_shares: 1, recovery_threshold: 1 },
    timeoutMs: 60_000,
  })
  expect(status).toBe(200)
  return (body as { root_token: string }).root_token
}

describe('startOpenBao', () => {
  it('gives a single node with a static seal that opens itself after a restart and after a kill', async () => {
    const node = await start({ nodeId: 'n1', seal: { kind: 'static', keyFile: await staticKeyFile() } })
    expect(await node.state()).toBe('uninitialised')
    await initialise(node)
    await node.waitFor('active')
    const firstPid = node.pid()

    await node.restart({ until: 'active' })
    expect(node.pid()).not.toBe(firstPid)

    node.kill()
    expect(await node.process().exited).toEqual({ code: null, signal: 'SIGKILL' })
    expect(await node.state()).toBe('unreachable')
    await node.start()
    await node.waitFor('active')
    expect((await stat(node.configPath)).mode & 0o777).toBe(0o600)
    expect((await stat(node.logPath)).mode & 0o777).toBe(0o600)
  })

  it('forms a cluster of three over TLS by retry_join', async () => {
    const authority = await certificateAuthority({ directory: folder.join('tls') })
    const keyFile = await staticKeyFile()
    const places = await Promise.all(
      ['n1', 'n2', 'n3'].map(async nodeId => ({ nodeId, apiPort: await freePort(), clusterPort: await freePort() })),
    )
    const retryJoin = places.map(({ apiPort }) => `https://127.0.0.1:${apiPort}`)
    const cluster = await Promise.all(
      places.map(async place => {
        const issued = await authority.issue({ name: place.nodeId, usage: 'server' })
        const tls = { ...issued, caPath: authority.certificatePath }
        return await start({ ...place, tls, seal: { kind: 'static', keyFile }, retryJoin })
      }),
    )
    const [first] = cluster
    if (first === undefined) throw new Error('no node')
    const token = await initialise(first)
    await Promise.all(
      cluster.map(async node => {
        await node.waitFor('unsealed')
      }),
    )

    await first.waitFor(
      async (node, signal) => {
        const { body } = await node.request({ path: 'sys/storage/raft/autopilot/state', token, signal })
        const { data } = body as { data: { healthy: boolean; failure_tolerance: number; voters: string[] } }
        return data.healthy && data.failure_tolerance === 1 && data.voters.length === 3
      },
      { what: 'three healthy voters' },
    )
  })

  it('starts a node with a Shamir seal, which stays sealed until it is given the keys', async () => {
    const node = await start({ nodeId: 'n1' })
    const { body } = await node.request({
      method: 'PUT',
      path: 'sys/init',
      body: { secret_shares: 1, secret_threshold: 1 },
    })
    const { keys } = body as { keys: string[] }
    await node.waitFor('sealed')
    await node.request({ method: 'PUT', path: 'sys/unseal', body: { key: keys[0] } })
    await node.waitFor('active')
  })

  it("writes the stanzas of our seal and takes the connector's own sum", async () => {
    const connector = folder.join('connector')
    await writeFile(connector, '#!/bin/sh\necho "[ERROR] nothing behind me" >&2\nexit 1\n')
    await chmod(connector, 0o755)
    const seal = { kind: 'sealwright', pluginDirectory: folder.path, command: 'connector', args: ['/run/x'] } as const
    await expect(start({ nodeId: 'n1', seal })).rejects.toMatchObject({
      code: 'RIG_PROCESS_ENDED',
      message: expect.stringMatching(/ended with code 1[^]*Unrecognized remote plugin message/) as unknown,
    })
    const wrongSum = { ...seal, sha256: '00'.repeat(32) }
    await expect(start({ nodeId: 'n2', seal: wrongSum })).rejects.toMatchObject({
      code: 'RIG_PROCESS_ENDED',
      message: expect.stringContaining('checksums did not match') as unknown,
    })
  })

  it('tells the last state and the end of the log when a condition does not come true', async () => {
    const node = await start({ nodeId: 'n1' })
    await expect(node.waitFor('active', { timeoutMs: 200 })).rejects.toMatchObject({
      code: 'RIG_TIMEOUT',
      message: expect.stringMatching(/its last state was "uninitialised"[^]*last lines of [^]*n1\.log/) as unknown,
    })
  })

  it('refuses to start a node that runs', async () => {
    const node = await start({ nodeId: 'n1' })
    await expect(node.start()).rejects.toMatchObject({ code: 'RIG_INVALID' })
  })
})
