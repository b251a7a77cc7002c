import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  createPluginNode,
  KMS_KEY,
  type PluginNode,
  startTransitOpenBao,
  type TransitOpenBao,
} from '@sealwright/testing-kms'
import { programCommand, runProgramToEnd } from '@sealwright/testing-cluster'
import { startProcess, waitUntil } from '@sealwright/testing-rig'
import { type KmsSubject, watchSubject } from './kms-subject.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()

const STATE_FILE = 'kms-state.json'
const TIMEOUT_MS = 30_000
const OF_SOMEBODY_ELSE = 12_345

let bao: TransitOpenBao
let plugins = 0

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
}, 120_000)

async function newPlugin(): Promise<PluginNode> {
  plugins += 1
  const name = `plugin-${plugins}`
  return scope.use(await createPluginNode({ directory: scope.folder.join(name), name, backend: bao.backend() }))
}

async function started(plugin: PluginNode): Promise<KmsSubject> {
  await plugin.start()
  await plugin.waitUntilReady()
  return await watchSubject(scope, plugin, [KMS_KEY, new URL(bao.node.apiAddress).host, bao.tokenFile, 'transit/'])
}

const isWritten = async ({ metric }: KmsSubject): Promise<boolean> =>
  (await metric('sealwright_kms_state_written')) === 1

/** A line of the log of this plugin. */
async function logLine(plugin: PluginNode, message: string): Promise<Readonly<Record<string, unknown>>> {
  return await plugin.process().waitFor(
    async () => {
      const lines = (await readFile(plugin.process().logPath, 'utf8')).split('\n').slice(0, -1)
      const line = lines.findLast(each => each.includes(`"pid":${plugin.process().pid},`) && each.includes(message))
      return line === undefined ? false : (JSON.parse(line) as Readonly<Record<string, unknown>>)
    },
    { what: `"${message}" in its log`, timeoutMs: TIMEOUT_MS },
  )
}

describe('the state', () => {
  const statePath = ({ stateDirectory }: PluginNode): string => join(stateDirectory, STATE_FILE)

  /** A plugin that has run once, and written its state. */
  async function withState(): Promise<{ plugin: PluginNode; subject: KmsSubject; state: string }> {
    const plugin = await newPlugin()
    const subject = await started(plugin)
    await waitUntil(async () => await isWritten(subject), { what: 'the state to be written', timeoutMs: TIMEOUT_MS })
    await plugin.stop()
    return { plugin, subject, state: await readFile(statePath(plugin), 'utf8') }
  }

  it('holds nothing secret, and belongs to its owner alone', async () => {
    const { plugin, state } = await withState()
    expect((await stat(statePath(plugin))).mode & 0o777).toBe(0o600)
    for (const secret of [await readFile(bao.tokenFile, 'utf8'), new URL(bao.node.apiAddress).host, KMS_KEY]) {
      expect(state).not.toContain(secret)
    }
  })

  it.each<[string, (text: string) => string]>([
    ['is empty', () => ''],
    ['was cut off', text => text.slice(0, text.length / 2)],
    ['is no JSON', () => '\0\0\0'],
    ['has a field too many', text => text.replace('{', '{ "more": 1,')],
  ])('that %s is moved aside and told of; the key id stays, and old data is decrypted', async (_, damage) => {
    const { plugin, subject, state } = await withState()
    await writeFile(statePath(plugin), damage(state))
    await plugin.start()
    expect(await logLine(plugin, 'what was remembered of the key is damaged')).toMatchObject({
      ...{ level: 'error', code: 'KMS_STATE_MALFORMED' },
    })
    await subject.waitUntilWell()
    expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
    const files = await readdir(plugin.stateDirectory)
    expect(files.filter(name => name.startsWith(`${STATE_FILE}.damaged-`))).toHaveLength(1)
    await waitUntil(async () => await isWritten(subject), { what: 'a new state', timeoutMs: TIMEOUT_MS })
  })

  it('of a newer program is left as it is, and told of; the plugin serves', async () => {
    const { plugin, subject, state } = await withState()
    const newer = state.replace(/"formatVersion": \d+/, '"formatVersion": 1000')
    expect(newer).not.toBe(state)
    await writeFile(statePath(plugin), newer)
    await plugin.start()
    expect(await logLine(plugin, 'cannot be used, and is left alone')).toMatchObject({ code: 'KMS_STATE_FROM_FUTURE' })
    await subject.waitUntilWell()
    expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
    await plugin.stop()
    expect(await readFile(statePath(plugin), 'utf8')).toBe(newer)
  })

  it('of another cluster keeps the plugin from starting, with what to do', async () => {
    const { plugin } = await withState()
    await plugin.configure({ clusterId: 'another' })
    await plugin.start({ until: 'nothing' })
    expect(await plugin.process().exited).toEqual({ code: 2, signal: null })
    expect(plugin.process().logTail(1)).toMatch(
      /^kms-plugin: KMS_STATE_OTHER_KEY: .*correct clusterId and backend, or name another stateDirectory/,
    )
  })

  it('that is a folder does no harm', async () => {
    const { plugin, subject } = await withState()
    await rm(statePath(plugin))
    await mkdir(statePath(plugin))
    await plugin.start()
    await subject.waitUntilWell()
    expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
  })
})

describe('the disk of the state', () => {
  let disk: SmallDisk

  /** A plugin whose state lies on a disk of its own. */
  async function onSmallDisk(): Promise<PluginNode> {
    const plugin = await newPlugin()
    const { stateDirectory } = plugin
    disk = scope.use(await mountSmallDisk(scope.folder.join(`disk-${plugins}`)))
    const text = await readFile(plugin.configPath, 'utf8')
    await mkdir(join(disk.path, 'state'))
    await writeFile(plugin.configPath, text.replace(stateDirectory, join(disk.path, 'state')))
    return plugin
  }

  it.each<[string, string, () => Promise<void>, () => Promise<void>]>([
    [
      'is full',
      'ENOSPC',
      async () => {
        await disk.fill()
      },
      async () => {
        await disk.free()
      },
    ],
    [
      ...([
        'is read-only',
        'EROFS',
        async () => {
          await disk.setReadOnly(true)
        },
      ] as const),
      async () => {
        await disk.setReadOnly(false)
      },
    ],
  ])(
    'that %s is told of (%s), the plugin serves, and writes its state once that can be',
    async (_, code, harm, mend) => {
      const plugin = await onSmallDisk()
      await harm()
      const subject = await started(plugin)
      expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
      expect(await logLine(plugin, 'what is known of the key cannot be remembered')).toMatchObject({
        ...{ level: 'error', reason: expect.stringContaining(code) as unknown },
      })
      expect(await isWritten(subject)).toBe(false)
      await mend()
      await waitUntil(async () => await isWritten(subject), { what: 'the state to be written', timeoutMs: TIMEOUT_MS })
      expect(await readdir(join(disk.path, 'state'))).toEqual([STATE_FILE])
    },
  )
})

describe('a configuration that is wrong', () => {
  const good = (): Readonly<Record<string, unknown>> => ({
    clusterId: 'lab',
    backend: bao.backend(),
    socket: { path: scope.folder.join('never.sock') },
    statusSocket: scope.folder.join('never-status.sock'),
    stateDirectory: scope.folder.join('never-state'),
  })

  it.each<[string, () => object, string, string]>([
    ['an unknown field', () => ({ ...good(), clusterid: 'lab' }), 'CONFIG_INVALID', 'clusterid is unknown here'],
    [
      'an unknown field two levels down',
      () => ({ ...good(), backend: bao.backend({ auth: { method: 'token', tokenFile: '/t', ttl: 1 } }) }),
      ...(['CONFIG_INVALID', 'backend.auth.ttl is unknown here'] as const),
    ],
    [
      'a socket that everybody may use',
      () => ({ ...good(), socket: { mode: '0666' } }),
      ...(['CONFIG_INVALID', 'socket.mode must give nothing to others: whoever connects can decrypt'] as const),
    ],
    [
      'a mode that YAML takes for a number',
      () => ({ ...good(), socket: { mode: 600 } }),
      ...(['CONFIG_INVALID', 'socket.mode'] as const),
    ],
    [
      'a deadline that kube-apiserver does not wait for',
      () => ({ ...good(), backend: bao.backend({ deadlineMs: 3_000 }) }),
      ...(['CONFIG_INVALID', 'backend.deadlineMs must be below 3000'] as const),
    ],
    ['no cluster id', () => ({ ...good(), clusterId: undefined }), 'CONFIG_INVALID', 'clusterId is missing'],
    [
      'a backend that there is not',
      () => ({ ...good(), backend: { type: 'vault' } }),
      ...(['CONFIG_INVALID', 'backend.type must be one of: transit, keyring'] as const),
    ],
    [
      'plain HTTP over a network',
      () => ({ ...good(), backend: bao.backend({ addresses: ['http://bao.example.org:8200'] }) }),
      ...(['CONFIG_INVALID', 'backend.addresses'] as const),
    ],
  ])('by %s ends the plugin with 2 and one clear line for each fault', async (_, config, code, words) => {
    const path = scope.folder.join('wrong.yaml')
    await writeFile(path, JSON.stringify(config()), { mode: 0o600 })
    const { exitCode, stderr, stdout } = await runProgramToEnd('kms-plugin', ['--config', path])
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
    expect(stderr.trimEnd().split('\n')).toEqual([expect.stringContaining(words)])
    expect(stderr.startsWith(`kms-plugin: ${code}: ${path}: `)).toBe(true)
  })

  it.each<[string, (path: string) => Promise<unknown>, string]>([
    [
      'is no YAML',
      async path => {
        await writeFile(path, '{ "a": ', { mode: 0o600 })
      },
      'CONFIG_SYNTAX',
    ],
    [
      'is not there',
      async path => {
        await rm(path, { force: true })
      },
      'CONFIG_UNREADABLE',
    ],
    [
      'anybody may write',
      async path => {
        await writeFile(path, JSON.stringify(good()))
        await chmod(path, 0o666)
      },
      'CONFIG_UNSAFE',
    ],
  ])('since it %s ends the plugin with 2 and says so', async (_, prepare, code) => {
    const path = scope.folder.join(`${code}.yaml`)
    await prepare(path)
    const { exitCode, stderr } = await runProgramToEnd('kms-plugin', ['--config', path])
    expect(exitCode).toBe(2)
    expect(stderr).toContain(`kms-plugin: ${code}: `)
    expect(stderr).toContain(path)
  })

  it('by an owner that its socket cannot be given to ends it with 7, and leaves no socket behind', async () => {
    const plugin = await newPlugin()
    await plugin.configure({ socket: { userId: OF_SOMEBODY_ELSE } })
    const { command, args } = programCommand('kms-plugin')
    // Root may give files away, unless that is taken from it.
    const asWhom = process.geteuid?.() === 0 ? ['setpriv', '--bounding-set', '-chown', '--'] : []
    const unprivileged = scope.use(
      await startProcess({
        ...{ name: 'unprivileged', command: 'env', logDirectory: scope.folder.path },
        args: [...asWhom, command, ...args, '--config', plugin.configPath],
      }),
    )
    expect(await unprivileged.exited).toEqual({ code: 7, signal: null })
    expect(unprivileged.logTail(1)).toContain(`kms-plugin: SOCKET_OWNER_REFUSED: ${plugin.socketPath}`)
    expect(existsSync(plugin.socketPath)).toBe(false)
  })

  it('by a folder in which others may put a socket of theirs ends it with 7', async () => {
    const [plugin, folder] = [await newPlugin(), scope.folder.join('open')]
    await mkdir(folder)
    await chmod(folder, 0o770)
    await plugin.configure({ socket: { path: join(folder, 'kms.sock') } })
    const { exitCode, stderr } = await runProgramToEnd('kms-plugin', ['--config', plugin.configPath])
    expect(exitCode).toBe(7)
    expect(stderr).toContain(`kms-plugin: SOCKET_FOLDER_UNUSABLE: ${folder}`)
    expect(await readdir(folder)).toEqual([])
  })

  it('by a folder of the socket that is not there ends it with 7', async () => {
    const path = scope.folder.join('no-folder.yaml')
    const config = { ...good(), statusSocket: scope.folder.join('absent', 'status.sock') }
    await writeFile(path, JSON.stringify(config), { mode: 0o600 })
    const { exitCode, stderr } = await runProgramToEnd('kms-plugin', ['--config', path])
    expect(exitCode).toBe(7)
    expect(stderr).toContain('kms-plugin: SOCKET_FOLDER_UNUSABLE: ')
  })
})
