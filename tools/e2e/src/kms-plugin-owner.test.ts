import { existsSync, statSync } from 'node:fs'
import { programCommand } from '@sealwright/testing-cluster'
import {
  createPluginNode,
  type EncryptedSeed,
  kmsClient,
  type PluginNode,
  startTransitOpenBao,
  type TransitOpenBao,
} from '@sealwright/testing-kms'
import { startProcess, type StartedProcess } from '@sealwright/testing-rig'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()

const TIMEOUT_MS = 60_000
const isRoot = process.geteuid?.() === 0
/** An API server that is not root. Only root can give a socket away: where it is not, root of a user namespace gives it to itself. */
const userId = isRoot ? 12_345 : 0
/** Root as the unit and the static pod have it: with CAP_CHOWN alone, so not even with root's usual right to pass by the rights on files. */
const ONLY_CHOWN = [
  ...(isRoot ? [] : ['unshare', '--user', '--map-root-user']),
  ...['setpriv', '--bounding-set', '-all,+chown', '--inh-caps', '-all,+chown', '--'],
]

let bao: TransitOpenBao
let starts = 0

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
}, 120_000)

async function newPlugin(name: string, socket: object): Promise<PluginNode> {
  const plugin = scope.use(await createPluginNode({ directory: scope.folder.join(name), name, backend: bao.backend() }))
  await plugin.configure({ socket: { userId, ...socket } })
  return plugin
}

/** Starts the bundled program with no right but that one. */
async function startWithChownAlone({ name, configPath }: PluginNode): Promise<StartedProcess> {
  starts += 1
  const { command, args } = programCommand('kms-plugin')
  return scope.use(
    await startProcess({
      ...{ name: `${name}-${starts}`, command: 'env', logDirectory: scope.folder.path },
      args: [...ONLY_CHOWN, command, ...args, '--config', configPath],
    }),
  )
}

async function untilItServes(plugin: PluginNode, running: StartedProcess): Promise<void> {
  await running.waitFor(() => running.logTail(1_000).includes('"msg":"serves"'), {
    what: `${plugin.name} to serve`,
    timeoutMs: TIMEOUT_MS,
  })
  const { uid, mode } = statSync(plugin.socketPath)
  expect({ uid, mode: mode & 0o777 }).toEqual({ uid: isRoot ? userId : process.geteuid?.(), mode: 0o600 })
}

/** As the API server does; the tests' user may. */
async function decryptsFrom(plugin: PluginNode, encrypted?: EncryptedSeed): Promise<EncryptedSeed> {
  const client = kmsClient(plugin.socketPath)
  try {
    const seed = encrypted ?? (await client.encrypt(new Uint8Array(32)))
    expect(await client.decrypt(seed)).toEqual(Buffer.alloc(32))
    return seed
  } finally {
    client.close()
  }
}

describe('a plugin whose socket is for an API server of another user, with CAP_CHOWN and no other right', () => {
  it('starts, gives its socket away, and starts again after it was killed', async () => {
    const plugin = await newPlugin('killed', {})
    const first = await startWithChownAlone(plugin)
    await untilItServes(plugin, first)
    const encrypted = await decryptsFrom(plugin)

    first.kill('SIGKILL')
    await first.exited
    expect(existsSync(plugin.socketPath)).toBe(true)
    const second = await startWithChownAlone(plugin)
    await untilItServes(plugin, second)
    await decryptsFrom(plugin, encrypted)

    expect(await second.stop()).toEqual({ code: 0, signal: null })
    expect(existsSync(plugin.socketPath)).toBe(false)
  })

  it('never takes the socket of another plugin that serves, which goes on and keeps its owner', async () => {
    const plugin = await newPlugin('live', {})
    const first = await startWithChownAlone(plugin)
    await untilItServes(plugin, first)
    const encrypted = await decryptsFrom(plugin)

    const other = await newPlugin('other', { path: plugin.socketPath })
    const second = await startWithChownAlone(other)
    expect(await second.exited).toEqual({ code: 7, signal: null })
    expect(second.logTail(1)).toContain(`kms-plugin: SOCKET_IN_USE: another program answers on ${plugin.socketPath}`)
    await untilItServes(plugin, first)
    await decryptsFrom(plugin, encrypted)
  })
})
