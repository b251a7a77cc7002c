import { existsSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import {
  createPluginNode,
  type EncryptedSeed,
  KmsCallError,
  kmsClient,
  type PluginNode,
  type PluginSettings,
  startTransitOpenBao,
  type TransitOpenBao,
} from '@sealwright/testing-kms'
import { slowProxy, waitUntil } from '@sealwright/testing-rig'
import { callsAnswered, type LoadedOperation, loadPlugin, type LoadReport, waitForLoad } from './kms-kit.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()

const CALLERS = 32
const ANSWER_DELAY_MS = 300
const END_TIMEOUT_MS = 20_000
/** What is on its way to OpenBao are calls then, and no probes. */
const QUIET = { probe: { intervalMs: 60_000, retryIntervalMs: 50 } }
/** The longest that a call to OpenBao lasts: it is under way until the plugin has been asked. */
const PATIENT = { deadlineMs: 2_500, patienceMs: 2_500 }
const OPERATIONS = ['status', 'encrypt', 'decrypt', 'bad-decrypt'] as const
/** Of calls that wait while no plugin is there. */
const LOAD = { operation: 'mixed', callers: CALLERS, durationMs: 6_000, timeoutMs: 20_000 } as const

let bao: TransitOpenBao
let plugins = 0

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
}, 120_000)

async function newPlugin(backend = bao.backend(), settings: PluginSettings = {}): Promise<PluginNode> {
  plugins += 1
  const name = `plugin-${plugins}`
  return scope.use(await createPluginNode({ directory: scope.folder.join(name), name, backend, ...settings }))
}

/** How each of many calls ends: `OK`, or its code. */
async function decryptAll({ socketPath }: PluginNode, what: EncryptedSeed): Promise<readonly string[]> {
  const client = kmsClient(socketPath)
  try {
    return await Promise.all(
      Array.from({ length: CALLERS }, async () => {
        try {
          await client.decrypt(what)
          return 'OK'
        } catch (error) {
          if (error instanceof KmsCallError) return error.code
          throw error
        }
      }),
    )
  } finally {
    client.close()
  }
}

async function encryptOnce({ socketPath }: PluginNode): Promise<EncryptedSeed> {
  const client = kmsClient(socketPath)
  try {
    return await client.encrypt(new Uint8Array(32))
  } finally {
    client.close()
  }
}

describe('SIGTERM', () => {
  it('lets every call be answered that is under way, removes both sockets, and ends the plugin with 0', async () => {
    const proxy = scope.use(await slowProxy(bao.node.apiAddress, 0))
    const plugin = await newPlugin(bao.backend({ addresses: [proxy.address] }), QUIET)
    await plugin.start()
    const encrypted = await encryptOnce(plugin)
    const decryptsBefore = await callsAnswered(plugin)
    proxy.setDelay(ANSWER_DELAY_MS)
    const answered = decryptAll(plugin, encrypted)
    // They are with OpenBao, and none has been answered.
    await waitUntil(() => proxy.bytesHeldBack() > 0, {
      what: 'the answers to be on their way',
      timeoutMs: END_TIMEOUT_MS,
    })
    expect(await callsAnswered(plugin)).toBe(decryptsBefore)
    plugin.kill('SIGTERM')
    expect(new Set(await answered)).toEqual(new Set(['OK']))
    expect(await plugin.process().exited).toEqual({ code: 0, signal: null })
    expect([plugin.socketPath, plugin.statusSocketPath].filter(existsSync)).toEqual([])
  })

  it('says that it is not ready as long as it waits for the last call', async () => {
    const proxy = scope.use(await slowProxy(bao.node.apiAddress, 0))
    const plugin = await newPlugin(bao.backend({ addresses: [proxy.address], ...PATIENT }), QUIET)
    await plugin.start()
    const encrypted = await encryptOnce(plugin)
    proxy.setDelay(2 * END_TIMEOUT_MS)
    const answered = decryptAll(plugin, encrypted)
    await waitUntil(() => proxy.bytesHeldBack() > 0, { what: 'an answer to be held back', timeoutMs: END_TIMEOUT_MS })
    plugin.kill('SIGTERM')
    let said = ''
    await waitUntil(
      async () => {
        const { status, text } = await plugin.ask('/readyz')
        said = text
        return status === 503
      },
      { what: 'it to say so', timeoutMs: END_TIMEOUT_MS },
    )
    expect(said).toMatch(/^KMS_NOT_READY: the socket is not there/)
    expect(new Set(await answered)).not.toContain('OK')
    expect(await plugin.process().exited).toEqual({ code: 0, signal: null })
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('and a start under load lose no call when %s comes', async signal => {
    const plugin = await newPlugin()
    await plugin.start()
    const load = loadPlugin({ ...LOAD, socketPath: plugin.socketPath })
    await waitForLoad(plugin)
    plugin.kill(signal)
    expect(await plugin.process().exited).toEqual({ code: 0, signal: null })
    expect(existsSync(plugin.socketPath)).toBe(false)
    await plugin.start()
    const report = await load
    // They wait for the next plugin, as those of kube-apiserver do; and an Encrypt for its first look at the key.
    expect(failuresIn(report, OPERATIONS)).toEqual([])
    expect(await callsAnswered(plugin)).toBeGreaterThan(0)
  })

  it('ends the plugin with 0 while it still waits for OpenBao, and while OpenBao is frozen', async () => {
    const waiting = await newPlugin(bao.backend({ addresses: ['http://127.0.0.1:9'] }))
    await waiting.start({ until: 'nothing' })
    await waitUntil(() => existsSync(waiting.statusSocketPath), { what: 'its status socket', timeoutMs: 30_000 })
    expect(existsSync(waiting.socketPath)).toBe(false)
    expect((await waiting.ask('/healthz')).status).toBe(200)
    expect(await waiting.stop()).toEqual({ code: 0, signal: null })

    const frozen = await newPlugin()
    await frozen.start()
    bao.node.kill('SIGSTOP')
    await waitUntil(async () => (await frozen.ask('/readyz')).status === 503, {
      what: 'its illness',
      timeoutMs: 30_000,
    })
    frozen.kill('SIGTERM')
    const end = await frozen.process().exited
    bao.node.kill('SIGCONT')
    expect(end).toEqual({ code: 0, signal: null })
  })
})

describe('SIGKILL', () => {
  it('leaves a socket that the next start takes the place of, with the same key id, and old data is decrypted', async () => {
    const plugin = await newPlugin()
    await plugin.start()
    const before = await encryptOnce(plugin)
    const load = loadPlugin({ ...LOAD, socketPath: plugin.socketPath })
    await waitForLoad(plugin)
    plugin.kill()
    await plugin.process().exited
    expect((await stat(plugin.socketPath)).isSocket()).toBe(true)
    await plugin.start()
    await plugin.waitUntilReady()
    expect((await stat(plugin.socketPath)).mode & 0o777).toBe(0o600)
    expect((await encryptOnce(plugin)).keyId).toBe(before.keyId)
    expect(new Set(await decryptAll(plugin, before))).toEqual(new Set(['OK']))
    const report = await load
    expect(failuresIn(report, OPERATIONS).filter(code => code !== 'Unavailable')).toEqual([])
    // Only what was under way when it was killed.
    expect(report.operations.reduce((sum, { wrong }) => sum + wrong, 0)).toBeLessThanOrEqual(CALLERS)
    expect(await callsAnswered(plugin)).toBeGreaterThan(0)
  })

  it('ten times in a row loses neither key id nor state', async () => {
    const plugin = await newPlugin()
    await plugin.start()
    const before = await encryptOnce(plugin)
    for (let round = 0; round < 10; round += 1) {
      plugin.kill()
      await plugin.process().exited
      await plugin.start()
      await plugin.waitUntilReady()
      expect((await encryptOnce(plugin)).keyId).toBe(before.keyId)
    }
    expect(new Set(await decryptAll(plugin, before))).toEqual(new Set(['OK']))
    expect(await readFile(plugin.process().logPath, 'utf8')).not.toContain('is damaged')
  })
})

describe('a socket that is taken', () => {
  it('by another plugin is refused with SOCKET_IN_USE and 7, and the first plugin serves on', async () => {
    const first = await newPlugin()
    await first.start()
    const encrypted = await encryptOnce(first)
    const second = await newPlugin()
    await second.configure({ socket: { path: first.socketPath } })
    await second.start({ until: 'nothing' })
    expect(await second.process().exited).toEqual({ code: 7, signal: null })
    expect(second.process().logTail(1)).toBe(
      `kms-plugin: SOCKET_IN_USE: another program answers on ${first.socketPath}: stop it or choose another path`,
    )
    expect(new Set(await decryptAll(first, encrypted))).toEqual(new Set(['OK']))
    expect(await first.ask('/readyz')).toEqual({ status: 200, text: 'ok\n' })
  })

  it('by the same plugin, started twice, is refused, and the first one serves on with both of its sockets', async () => {
    const first = await newPlugin()
    await first.start()
    const encrypted = await encryptOnce(first)
    const twin = await newPlugin()
    await writeFile(twin.configPath, await readFile(first.configPath))
    await twin.start({ until: 'nothing' })
    expect(await twin.process().exited).toEqual({ code: 7, signal: null })
    expect(twin.process().logTail(1)).toContain('SOCKET_IN_USE')
    expect(new Set(await decryptAll(first, encrypted))).toEqual(new Set(['OK']))
    expect((await first.ask('/readyz')).status).toBe(200)
  })

  it('by a program that accepts and says nothing is left alone', async () => {
    const plugin = await newPlugin()
    const silent = createServer()
    silent.listen(plugin.socketPath)
    await once(silent, 'listening')
    await plugin.start({ until: 'nothing' })
    const end = await plugin.process().exited
    silent.close()
    expect(end).toEqual({ code: 7, signal: null })
    expect(plugin.process().logTail(1)).toContain('SOCKET_IN_USE')
  })

  it.each(['socketPath', 'statusSocketPath'] as const)(
    'by a file (%s) is refused with SOCKET_PATH_TAKEN and 7, and the file is left as it was',
    async which => {
      const plugin = await newPlugin()
      await writeFile(plugin[which], 'precious')
      await plugin.start({ until: 'nothing' })
      expect(await plugin.process().exited).toEqual({ code: 7, signal: null })
      expect(plugin.process().logTail(1)).toContain(`SOCKET_PATH_TAKEN: ${plugin[which]} is not a socket`)
      expect(await readFile(plugin[which], 'utf8')).toBe('precious')
    },
  )
})

/** Codes with which these operations ended, and should not have. */
function failuresIn(report: LoadReport, operations: readonly LoadedOperation['operation'][]): readonly string[] {
  return report.operations
    .filter(({ operation }) => operations.includes(operation))
    .flatMap(({ operation, codes }) =>
      Object.keys(codes).filter(code => code !== (operation === 'bad-decrypt' ? 'InvalidArgument' : 'OK')),
    )
}
