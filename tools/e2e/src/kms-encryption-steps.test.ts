import { createHash } from 'node:crypto'
import { copyFile, readFile, rename, writeFile } from 'node:fs/promises'
import { type ProgramResult } from '@sealwright/testing-cluster'
import {
  createPluginNode,
  type PluginNode,
  PROVIDER_NAME,
  startTransitOpenBao,
  type TransitOpenBao,
} from '@sealwright/testing-kms'
import {
  type ApiServer,
  type ClusterIdentity,
  createClusterIdentity,
  type Etcd,
  expectStatus,
  startApiServer,
  startEtcd,
} from '@sealwright/testing-kubernetes'
import { kmsSealctl } from './kms-sealctl.ts'
import { sharedScope } from './test-scope.ts'

// One story in the order of its tests: a cluster with two API servers goes by the files that `sealctl kms encryption-config` makes, from its
// first Secret to one more resource, and out of the plugin again. In the middle of each round one goes by the new file, the other by the old one.
const scope = sharedScope()

const KINDS = { secrets: 'Secret', configmaps: 'ConfigMap' } as const
type Resource = keyof typeof KINDS
const RESOURCES = ['secrets', 'configmaps'] as const

interface Node {
  readonly plugin: PluginNode
  readonly api: ApiServer
  readonly file: string
}

let bao: TransitOpenBao
let etcd: Etcd
let identity: ClusterIdentity
let nodes: readonly [Node, Node]
const written: { resource: Resource; name: string }[] = []

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
  etcd = scope.use(await startEtcd({ directory: scope.folder.join('etcd') }))
  identity = await createClusterIdentity({ directory: scope.folder.join('pki') })
  nodes = [await startNode('a'), await startNode('b')]
}, 300_000)

/** A node whose API server goes by the file of the first round. */
async function startNode(name: string): Promise<Node> {
  const directory = scope.folder.join(name)
  const plugin = scope.use(await createPluginNode({ directory, name: `${name}-kms`, backend: bao.backend() }))
  await plugin.start()
  await plugin.waitUntilReady()
  const file = `${directory}/encryption.yaml`
  expect(await kmsSealctl(plugin, 'encryption-config', '--last', '--output', file)).toMatchObject({ exitCode: 0 })
  // As an operator has it. The tests do not wait for the minute after which the file is looked at.
  const args = [`--encryption-provider-config=${file}`, '--encryption-provider-config-automatic-reload=true']
  const api = scope.use(await startApiServer({ directory, name: `${name}-api`, identity, etcd, args }))
  return { plugin, api, file }
}

const pathOf = (resource: Resource, name = ''): string => `/api/v1/namespaces/default/${resource}/${name}`

/** Each node writes one of each resource, and each node reads all that was ever written. */
async function exchange(): Promise<void> {
  for (const { api } of nodes) {
    for (const resource of RESOURCES) {
      const name = `${resource}-${written.length}`
      const body = {
        ...{ apiVersion: 'v1', kind: KINDS[resource], metadata: { name } },
        data: { value: Buffer.from(name).toString('base64') },
      }
      expectStatus(await api.request({ method: 'POST', path: pathOf(resource), body }), name, 201)
      written.push({ resource, name })
    }
  }
  for (const { api } of nodes) {
    for (const { resource, name } of written) {
      expectStatus(await api.request({ path: pathOf(resource, name) }), `${name} from ${api.url}`, 200)
    }
  }
}

/** One round: on one node after another the file is changed, and its API server goes by it. */
async function roll(...args: readonly string[]): Promise<void> {
  for (const { plugin, api, file } of nodes) {
    const made = await kmsSealctl(plugin, 'encryption-config', ...args, '--from', file, '--output', `${file}.new`)
    expect(made).toMatchObject({ exitCode: 0, stderr: '' })
    await rename(`${file}.new`, file)
    await api.restart()
    // What the runbook has an operator compare.
    const sum = createHash('sha256')
      .update(await readFile(file))
      .digest('hex')
    const metric = 'apiserver_encryption_config_controller_last_config_info'
    expect(await api.metrics()).toMatch(new RegExp(`^${metric}\\{.*hash="sha256:${sum}"\\} 1$`, 'm'))
    await exchange()
  }
}

async function rewrite(resource: Resource): Promise<void> {
  const [{ api }] = nodes
  const all = await api.kubectl(['get', resource, '--all-namespaces', '-o', 'json'])
  await api.kubectl(['replace', '-f', '-'], { stdin: all })
}

/** How many objects of a resource etcd holds by our plugin, and in another way. */
async function stored(resource: Resource): Promise<{ readonly ours: number; readonly others: number }> {
  const [{ plugin }] = nodes
  const { stdout } = await kmsSealctl(plugin, 'verify-rotation', '--etcd', etcd.endpoint, '--json')
  const { groups } = JSON.parse(stdout) as {
    readonly groups: readonly { readonly resource: string; readonly kind: string; readonly objects: number }[]
  }
  const count = (isOurs: boolean): number =>
    groups
      .filter(group => group.resource === resource && (group.kind === 'ours') === isOurs)
      .reduce((sum, { objects }) => sum + objects, 0)
  return { ours: count(true), others: count(false) }
}

async function mayGo(): Promise<ProgramResult> {
  const [{ plugin, file }] = nodes
  return await kmsSealctl(plugin, 'verify-rotation', '--etcd', etcd.endpoint, '--encryption-config', file)
}

describe('encryption-config, step by step on two API servers', () => {
  it('leads to Secrets that are encrypted, and nothing of them in clear', async () => {
    await exchange()
    await roll()
    await rewrite('secrets')
    expect(await mayGo()).toMatchObject({ exitCode: 0 })
    await roll('--final')
    expect(await stored('secrets')).toMatchObject({ others: 0 })
    expect(await stored('configmaps')).toMatchObject({ ours: 0 })
  }, 300_000)

  it('refuses what kube-apiserver would not survive: one more resource at once, or the plugin in two entries', async () => {
    const [{ plugin, api, file }, other] = nodes
    const at = `${file}.at-once`
    const made = await kmsSealctl(
      plugin,
      'encryption-config',
      '--resource',
      'configmaps',
      '--from',
      file,
      '--output',
      at,
    )
    expect(made).toMatchObject({
      ...{ exitCode: 1, stderr: expect.stringContaining('first --last --resource configmaps') as string },
    })

    // By hand it can be had: what this API server writes the other one cannot read.
    await copyFile(file, `${file}.kept`)
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace('- secrets', '- secrets\n      - configmaps').concat('      - identity: {}\n'))
    await api.restart()
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'at-once' } }
    expectStatus(await api.request({ method: 'POST', path: pathOf('configmaps'), body }), 'a ConfigMap', 201)
    const [here, there] = [api, other.api].map(
      async server => (await server.request({ path: pathOf('configmaps', 'at-once') })).status,
    )
    expect([await here, await there]).toEqual([200, 500])
    await etcd.etcdctl(['del', '/registry/configmaps/default/at-once'])

    // An entry of its own with the same provider is none that it starts with.
    const entry = text.slice(text.indexOf('  - resources:')).replace('secrets', 'configmaps')
    await writeFile(file, text + entry)
    await api.stop()
    await expect(api.start()).rejects.toMatchObject({ code: 'RIG_PROCESS_ENDED' })
    expect(await readFile(api.process().logPath, 'utf8')).toContain('duplicate KMS provider name')
    await rename(`${file}.kept`, file)
    await api.start()
    await exchange()
  }, 300_000)

  it('brings one more resource in, without any moment in which one of them cannot read the other', async () => {
    await roll('--last', '--resource', 'configmaps')
    expect(await stored('configmaps')).toMatchObject({ ours: 0 })
    await roll()
    expect((await mayGo()).stdout).toContain('stored in clear')
    await rewrite('configmaps')
    expect(await mayGo()).toMatchObject({ exitCode: 0 })
    await roll('--final')
    for (const resource of RESOURCES) expect(await stored(resource)).toMatchObject({ others: 0 })
    const [{ file }] = nodes
    expect(await readFile(file, 'utf8')).not.toContain('identity')
  }, 300_000)

  it('leads out again: nothing needs the plugin, the file or the key any more', async () => {
    await roll('--leave', 'prepare')
    await roll('--leave', 'decrypt')
    for (const resource of RESOURCES) {
      await rewrite(resource)
      expect(await stored(resource)).toMatchObject({ ours: 0 })
    }
    const [{ plugin }] = nodes
    const { exitCode, stdout } = await kmsSealctl(plugin, 'verify-rotation', '--etcd', etcd.endpoint)
    expect({ exitCode, stdout }).toEqual({
      exitCode: 2,
      stdout: expect.stringContaining('nothing at all is encrypted by this key') as string,
    })
    expect(stdout).not.toContain(`${PROVIDER_NAME} (KMS v2)`)
    await roll('--leave', 'remove')
    for (const node of nodes) await node.plugin.stop()
    for (const { api } of nodes) await api.restart({ args: [] })
    await exchange()
  }, 300_000)
})
