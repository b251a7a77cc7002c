import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { countInMemory, type OpenBaoNode } from '@sealwright/testing-rig'
import { bao } from './bao-command.ts'
import { askControl } from './control-request.ts'
import {
  asStaticSeal,
  enoughOf,
  expectOpensWithData,
  hasSecret,
  killServer,
  logSinceStart,
  migrate,
  type MigratingNode,
  MIGRATION_COMPLETE,
  MIGRATION_PENDING,
  nodeUnderAnotherSeal,
  sealStatusOf,
  type StaticSeal,
  waitUntilMigrated,
  waitUntilPending,
} from './migration.ts'
import { statusOf } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { openBaoLog, waitForOpenBaoLog } from './node-log.ts'
import { writeSealKey } from './seal-key.ts'
import { storedInSnapshot } from './stored-blob.ts'
import { testScope } from './test-scope.ts'

/** What each of our own ciphertexts begins with. */
const ENVELOPE_MAGIC = 'SWEV'
const STATIC = { agent: { sealType: 'static' } } as const

const scope = testScope()
let from: MigratingNode
let server: OpenBaoNode
let seal: StaticSeal

beforeEach(async () => {
  from = await nodeUnderAnotherSeal(
    scope,
    async ({ sealKeyPath }) => (seal = await asStaticSeal(scope.folder.path, sealKeyPath)),
    STATIC,
  )
  server = from.node.openBao()
  await server.stop()
})

describe('a static seal', () => {
  it('is taken over without a migration: OpenBao opens by itself, has its data, and makes a new root key', async () => {
    await enrol(from.sealKeyPath)
    await server.start({ seal: from.node.openBaoSeal(), until: 'active' })
    expect(await sealStatusOf(server)).toMatchObject({ type: 'static', migration: false, n: 3, t: 2 })
    await expectOpensWithData(server, from)
    expect(await staticBlobs()).toEqual(['core/hsm/barrier-unseal-keys', 'core/recovery-key'])

    await bao(server, ['write', '-f', 'sys/rotate/root'], from.rootToken)
    expect(await staticBlobs()).toEqual(['core/recovery-key'])
    await cutPower(from.node)
    await boot(from.node)
    await server.waitFor('active')
    expect(await hasSecret(server, from)).toBe(true)
    expect(await statusOf(from.node)).toMatchObject({ exitCode: 0, verdict: { kind: 'ready' } })
    expect(openBaoLog(from.node)).not.toContain(MIGRATION_PENDING)
  })

  it('is needed no more after a rotation of the seal key: nothing that is stored is in its form', async () => {
    await takeOver()
    expect(isKeyInAgent()).toBe(true)
    expect(await askControl(from.node, '/v1/sys/rotate/seal-key', 'POST')).toMatchObject({ status: 200 })
    await server.restart({ until: 'active' })
    await waitForOpenBaoLog(from.node, 'core.autoseal: upgrading recovery key')
    await waitForOpenBaoLog(from.node, 'core.autoseal: upgrading stored keys')
    await server.waitFor(async () => (await staticBlobs()).length === 0, { what: 'all blobs to be of our own' })

    // The agent itself says so by retiring the key of the static seal.
    const snapshot = readFileSync(scope.folder.join('raft.snap'))
    const retired = await askControl(from.node, '/v1/sys/rotate/retire', 'POST', snapshot)
    expect({ ...retired, text: JSON.parse(retired.text) as unknown }).toMatchObject({
      status: 200,
      text: { retired: [{ keyId: 'static-1', state: 'retired' }], kept: [] },
    })
    await cutPower(from.node)
    await boot(from.node)
    await expectOpensWithData(server, from)
    expect(isKeyInAgent()).toBe(false)

    await server.request({ method: 'PUT', path: 'sys/seal', token: from.rootToken })
    await server.waitFor('sealed')
    for (const key of enoughOf(from)) await server.request({ method: 'PUT', path: 'sys/unseal', body: { key } })
    await server.waitFor('active')
  })

  it('is put back by its stanza alone, as long as nothing was encrypted anew', async () => {
    await takeOver()
    await server.stop()
    await from.node.agent().stop()
    await server.start({ seal, until: 'active' })
    await expectOpensWithData(server, from)
    expect(openBaoLog(from.node)).not.toContain(MIGRATION_PENDING)
  })

  it('is put back by a migration after that, also if kill -9 comes between two keys', async () => {
    await takeOver()
    await bao(server, ['write', '-f', 'sys/rotate/root'], from.rootToken)
    await server.restart({ seal, until: 'listening' })
    await waitForOpenBaoLog(from.node, 'failed to open ciphertext: cipher: message authentication failed')

    await server.stop()
    await server.start({ leaving: from.node.openBaoSeal(), until: 'listening' })
    await waitUntilPending(server)
    await migrate(server, from.keys.slice(0, 1))
    await killServer(server)
    await server.start({ until: 'listening' })
    await waitUntilPending(server)
    await migrate(server, enoughOf(from))
    await waitUntilMigrated(server)
    expect(logSinceStart(server)).toContain('migrating from one auto-unseal to another: from=static to=static')
    expect(logSinceStart(server)).toContain(MIGRATION_COMPLETE)

    await server.stop()
    await from.node.agent().stop()
    await server.start({ leaving: undefined, until: 'active' })
    await expectOpensWithData(server, from)
  })

  it('of another key id opens nothing and is harmed by nothing; the right key id opens it', async () => {
    const wrongKeyPath = await writeSealKey(scope.folder.path, 'wrong')
    await writeFile(join(wrongKeyPath, 'seal-key'), readFileSync(join(from.sealKeyPath, 'seal-key')))
    await writeFile(join(wrongKeyPath, 'key-id'), 'static-2')
    await expectNotTakenBy(wrongKeyPath, /KEYRING_KEY_UNKNOWN: .* names the key id .*static-1.* such blobs is static-2/)
    await expectTakenAnew()
  })

  it('of another key opens nothing and is harmed by nothing; the right key opens it', async () => {
    const wrongKeyPath = await writeSealKey(scope.folder.path, 'wrong')
    await writeFile(join(wrongKeyPath, 'key-id'), 'static-1')
    await expectNotTakenBy(wrongKeyPath, /KEYRING_STATIC_BLOB_AUTH_FAILED/)
    await expectTakenAnew()
  })

  it('is not taken over by an agent of the usual type: OpenBao does not start, and says which type it has', async () => {
    await from.node.writeConfig({ ...from.config, agent: {} })
    await enrol(from.sealKeyPath)
    await expectRefusedStart('cannot seal migrate from "static" to "sealwright"')
    await from.node.agent().stop()
    await from.node.writeConfig(from.config)
    await from.node.startAgent()
    await server.start({ until: 'active' })
    await expectOpensWithData(server, from)
  })
})

describe('a type of seal that is changed under a running OpenBao', () => {
  it('shows at its next start, which fails until the type is put back', async () => {
    await takeOver()
    await from.node.agent().stop()
    await from.node.writeConfig({ ...from.config, agent: {} })
    await from.node.startAgent()
    await from.node.waitForLog('keyring opened')
    expect(await server.state()).toBe('active')

    await server.stop()
    await expectRefusedStart('cannot seal migrate from "static" to "sealwright"')
    await from.node.agent().stop()
    await from.node.writeConfig(from.config)
    await from.node.startAgent()
    await server.start({ until: 'active' })
    await expectOpensWithData(server, from)
  })
})

/** Whether the memory of the agent has the key of the static seal. */
function isKeyInAgent(): boolean {
  const [found = 0] = countInMemory(from.node.agent().pid, [readFileSync(seal.keyFile)])
  return found > 0
}

/** Which blobs of the storage are in the form of the static seal, as a snapshot shows. */
async function staticBlobs(): Promise<readonly string[]> {
  const found: string[] = []
  for (const key of ['core/hsm/barrier-unseal-keys', 'core/recovery-key']) {
    const path = scope.folder.join('raft.snap')
    const blob = await storedInSnapshot(server, { key, token: from.rootToken, path })
    if (!blob.includes(ENVELOPE_MAGIC)) found.push(key)
  }
  return found
}

async function takeOver(): Promise<void> {
  await enrol(from.sealKeyPath)
  await server.start({ seal: from.node.openBaoSeal(), until: 'active' })
  expect(await hasSecret(server, from)).toBe(true)
}

async function enrol(sealKeyPath: string): Promise<void> {
  expect(await from.node.bootstrap(sealKeyPath)).toMatchObject({ exitCode: 0, stderr: '' })
  await from.node.startAgent()
  await from.node.waitForLog('keyring opened')
}

async function expectNotTakenBy(sealKeyPath: string, text: RegExp): Promise<void> {
  await enrol(sealKeyPath)
  await server.start({ seal: from.node.openBaoSeal(), until: 'listening' })
  await waitForOpenBaoLog(from.node, 'failed to unseal core')
  // The first try may come while the agent still asks its seal; OpenBao tries again by itself.
  await server.waitFor(() => text.test(openBaoLog(from.node)), { what: `${String(text)} in the log of OpenBao` })
  expect(await server.state()).toBe('sealed')
}

/** What was bootstrapped by mistake is moved away, and made anew with the right key. */
async function expectTakenAnew(): Promise<void> {
  await from.node.agent().stop()
  await rename(from.node.storePath, `${from.node.storePath}.wrong`)
  await enrol(from.sealKeyPath)
  await server.waitFor('active')
  await expectOpensWithData(server, from)
}

async function expectRefusedStart(text: string): Promise<void> {
  const start = server.start({ seal: from.node.openBaoSeal(), until: 'listening' })
  await expect(start).rejects.toMatchObject({ code: 'RIG_PROCESS_ENDED' })
  expect(openBaoLog(from.node)).toContain(`Error initializing core: ${text}, no disabled seal in configuration`)
}
