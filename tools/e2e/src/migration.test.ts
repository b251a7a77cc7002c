import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { freePort, type OpenBaoNode, type OpenBaoSeal, startOpenBao } from '@sealwright/testing-rig'
import {
  copyStorage,
  enoughOf,
  expectOpensWithData,
  fill,
  hasSecret,
  killServer,
  migrate,
  type MigratingNode,
  nodeUnderAnotherSeal,
  sealStatusOf,
  type StaticSeal,
  waitUntilMigrated,
  waitUntilPending,
} from './migration.ts'
import { statusOf } from './node-health.ts'
import { bootstrapNode, type ServedNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()

describe('a migration to Sealwright', () => {
  it('from Shamir keeps the data, goes on after kill -9 between two keys, and makes the unseal keys the recovery keys', async () => {
    const from = await nodeUnderAnotherSeal(scope, () => ({ kind: 'shamir' }))
    const server = from.node.openBao()
    await server.stop()
    await enrol(from)
    await server.start({ seal: from.node.openBaoSeal(), until: 'listening' })
    await waitUntilPending(server)
    expect(await server.request({ method: 'PUT', path: 'sys/unseal', body: { key: from.keys[0] } })).toMatchObject({
      status: 500,
      body: { errors: ['migrate option not provided and seal migration is pending'] },
    })

    await expectGoesOnAfterKill(server, from)
    expect(await sealStatusOf(server)).toMatchObject({ type: 'sealwright', recovery_seal: true, n: 3, t: 2 })
    await server.restart({ until: 'listening' })
    await expectOpensWithData(server, from)
    expect(await statusOf(from.node)).toMatchObject({ exitCode: 0, verdict: { kind: 'ready' } })

    await server.request({ method: 'PUT', path: 'sys/seal', token: from.rootToken })
    await server.waitFor('sealed')
    for (const key of enoughOf(from)) await server.request({ method: 'PUT', path: 'sys/unseal', body: { key } })
    await server.waitFor('active')
  })

  it('from Shamir that was killed while OpenBao rewrote its keys begins anew on the copy of the storage', async () => {
    const from = await nodeUnderAnotherSeal(scope, () => ({ kind: 'shamir' }))
    const server = from.node.openBao()
    await server.stop()
    const copy = await copyStorage(server)
    await enrol(from)
    await server.start({ seal: from.node.openBaoSeal(), until: 'listening' })
    await waitUntilPending(server)
    await migrate(server, enoughOf(from))
    await server.process().waitFor(() => readFileSync(server.logPath, 'utf8').includes('seal migration initiated'), {
      what: 'the migration to begin',
      timeoutMs: 60_000,
      intervalMs: 1,
    })
    await killServer(server)

    await copy.putBack()
    await server.start({ until: 'listening' })
    await waitUntilPending(server)
    await migrate(server, enoughOf(from))
    await waitUntilMigrated(server)
    await server.restart({ until: 'listening' })
    await expectOpensWithData(server, from)
  })

  it('from Transit keeps the data, goes on after kill -9 between two keys, and needs the other OpenBao no more', async () => {
    let other: TransitServer | undefined
    const from = await nodeUnderAnotherSeal(scope, async () => (other = await transitServer()).seal)
    const server = from.node.openBao()
    if (other === undefined) throw new Error('there is no second server')
    const { seal } = other
    await server.stop()
    await enrol(from)
    await expectRefusedStart(server, from.node.openBaoSeal(), 'cannot seal migrate from "transit" to "sealwright"')
    await server.start({ seal: from.node.openBaoSeal(), leaving: seal, until: 'listening' })
    await waitUntilPending(server)

    await expectGoesOnAfterKill(server, from)
    await server.stop()
    await other.server.stop()
    await server.start({ leaving: undefined, until: 'listening' })
    await expectOpensWithData(server, from)
    expect(await sealStatusOf(server)).toMatchObject({ type: 'sealwright', recovery_seal: true })
  })
})

describe('a migration from Sealwright', () => {
  it('to a static seal keeps the data, goes on after kill -9 between two keys, and needs the agent no more', async () => {
    const from = await filledNode()
    const server = from.node.openBao()
    const seal = await newStaticSeal()
    await server.stop()
    await expectRefusedStart(server, seal, 'cannot seal migrate from "sealwright" to "static"')
    await server.start({ seal, leaving: from.node.openBaoSeal(), until: 'listening' })
    await waitUntilPending(server)

    await expectGoesOnAfterKill(server, from)
    await server.stop()
    await from.node.agent().stop()
    await server.start({ leaving: undefined, until: 'listening' })
    await expectOpensWithData(server, from)
    expect(await sealStatusOf(server)).toMatchObject({ type: 'static', recovery_seal: true })
  })

  it('to Shamir keeps the data, goes on after kill -9 between two keys, and makes the recovery keys the unseal keys', async () => {
    const from = await filledNode()
    const server = from.node.openBao()
    await server.stop()
    await expectRefusedStart(server, { kind: 'shamir' }, 'cannot seal migrate from "sealwright" to Shamir')
    await server.start({ seal: { kind: 'shamir' }, leaving: from.node.openBaoSeal(), until: 'listening' })
    await waitUntilPending(server)

    await expectGoesOnAfterKill(server, from)
    await server.stop()
    await from.node.agent().stop()
    await server.start({ leaving: undefined, until: 'sealed' })
    expect(await sealStatusOf(server)).toMatchObject({ type: 'shamir', migration: false, n: 3, t: 2 })
    for (const key of enoughOf(from)) await server.request({ method: 'PUT', path: 'sys/unseal', body: { key } })
    await server.waitFor('active')
    expect(await hasSecret(server, from)).toBe(true)
  })

  it('waits while the agent is down, and goes through once it is back', async () => {
    const from = await filledNode()
    const server = from.node.openBao()
    await server.stop()
    const leaving = from.node.openBaoSeal({ connectorWaitSeconds: 1 })
    await server.start({ seal: { kind: 'shamir' }, leaving, until: 'listening' })
    await from.node.agent().stop()
    const [first = '', second = ''] = enoughOf(from)
    await migrate(server, [first])
    await expect(migrate(server, [second])).rejects.toThrow()
    expect(await sealStatusOf(server)).toMatchObject({ sealed: true, migration: true })

    await from.node.startAgent()
    await from.node.waitForLog('keyring opened')
    await migrate(server, enoughOf(from))
    await waitUntilMigrated(server)
    expect(await hasSecret(server, from)).toBe(true)
  })
})

/** A node under our seal, with data. */
async function filledNode(): Promise<MigratingNode> {
  const served = await bootstrapNode(scope)
  await served.node.startAgent()
  const server = await served.node.startOpenBao({ ...served.ports, until: 'uninitialised' })
  return { ...served, ...(await fill(server, 'sealwright')) }
}

/** Bootstraps a node whose OpenBao does not run, and starts its agent. */
async function enrol({ node, sealKeyPath }: ServedNode): Promise<void> {
  expect(await node.bootstrap(sealKeyPath)).toMatchObject({ exitCode: 0, stderr: '' })
  await node.startAgent()
  await node.waitForLog('keyring opened')
}

/** Gives one key, kills OpenBao, and gives all keys to the next: what was given is forgotten, and nothing else is lost. */
async function expectGoesOnAfterKill(server: OpenBaoNode, from: MigratingNode): Promise<void> {
  await migrate(server, from.keys.slice(0, 1))
  expect(await sealStatusOf(server)).toMatchObject({ progress: 1, migration: true })
  await killServer(server)
  await server.start({ until: 'listening' })
  await waitUntilPending(server)
  expect(await sealStatusOf(server)).toMatchObject({ progress: 0 })
  await migrate(server, enoughOf(from))
  await waitUntilMigrated(server)
  expect(await hasSecret(server, from)).toBe(true)
}

/** Without the disabled stanza of the seal that the data is under, OpenBao says so and does not run. */
async function expectRefusedStart(server: OpenBaoNode, seal: OpenBaoSeal, text: string): Promise<void> {
  await expect(server.start({ seal, until: 'listening' })).rejects.toMatchObject({ code: 'RIG_PROCESS_ENDED' })
  expect(readFileSync(server.logPath, 'utf8')).toContain(`${text}, no disabled seal in configuration`)
}

async function newStaticSeal(): Promise<StaticSeal> {
  const keyFile = scope.folder.join('static.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  return { kind: 'static', keyFile, keyId: 'static-1' }
}

interface TransitServer {
  readonly server: OpenBaoNode
  readonly seal: OpenBaoSeal
}

/** A second OpenBao, with a transit key for the first one. */
async function transitServer(): Promise<TransitServer> {
  const directory = scope.folder.join('t')
  await mkdir(directory, { mode: 0o700 })
  const server = scope.use(
    await startOpenBao({
      ...{ directory, nodeId: 'transit', apiPort: await freePort(), clusterPort: await freePort() },
      seal: await newStaticSeal(),
      until: 'uninitialised',
    }),
  )
  const { rootToken: token } = await fill(server, 'static')
  const write = async (path: string, body: unknown) => {
    const { status } = await server.request({ method: 'POST', path, body, token })
    expect([200, 204]).toContain(status)
  }
  await write('sys/mounts/transit', { type: 'transit' })
  await write('transit/keys/autounseal', { type: 'aes256-gcm96' })
  const { apiAddress: address } = server
  return { server, seal: { kind: 'transit', address, token, keyName: 'autounseal' } }
}
