import { readFile, rename } from 'node:fs/promises'
import { type ProgramResult } from '@sealwright/testing-cluster'
import {
  createPluginNode,
  etcdKeyOf,
  KMS_KEY,
  KMS_POLICY,
  type PluginNode,
  readSecret,
  startTransitOpenBao,
  writeSecret,
} from '@sealwright/testing-kms'
import {
  type ApiServer,
  createClusterIdentity,
  type Etcd,
  startApiServer,
  startEtcd,
} from '@sealwright/testing-kubernetes'
import { waitUntil } from '@sealwright/testing-rig'
import { kmsSealctl } from './kms-sealctl.ts'
import { sharedScope } from './test-scope.ts'

// One story: a cluster moves to another key by a second plugin, as the runbook says, and the first one goes.
const scope = sharedScope()
const SECOND_KEY = 'second'
const SECOND_NAME = 'sealwright-2'

let etcd: Etcd
let api: ApiServer
let file: string
let first: PluginNode
let second: PluginNode

beforeAll(async () => {
  const bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
  // Two keys that were made in the same second have one key id.
  const madeBy = Math.floor(Date.now() / 1_000)
  await waitUntil(() => Math.floor(Date.now() / 1_000) > madeBy, { what: 'another second', timeoutMs: 5_000 })
  await bao.administer({ method: 'POST', path: `transit/keys/${SECOND_KEY}`, body: { type: 'aes256-gcm96' } })
  await bao.writePolicy(KMS_POLICY + KMS_POLICY.replaceAll(KMS_KEY, SECOND_KEY))
  etcd = scope.use(await startEtcd({ directory: scope.folder.join('etcd') }))
  const plugin = async (name: string, backend: Readonly<Record<string, unknown>>): Promise<PluginNode> => {
    const node = scope.use(await createPluginNode({ directory: scope.folder.join(name), name, backend }))
    await node.start()
    await node.waitUntilReady()
    return node
  }
  first = await plugin('first', bao.backend())
  second = await plugin('second', bao.backend({ keyName: SECOND_KEY }))
  file = scope.folder.join('encryption.yaml')
  expect(await kmsSealctl(first, 'encryption-config', '--output', file)).toMatchObject({ exitCode: 0 })
  api = scope.use(
    await startApiServer({
      ...{ directory: scope.folder.join('api'), etcd },
      identity: await createClusterIdentity({ directory: scope.folder.join('pki') }),
      args: [`--encryption-provider-config=${file}`],
    }),
  )
}, 300_000)

async function change(plugin: PluginNode, ...args: readonly string[]): Promise<void> {
  const made = await kmsSealctl(plugin, 'encryption-config', ...args, '--from', file, '--output', `${file}.new`)
  expect(made).toMatchObject({ exitCode: 0, stderr: '' })
  await rename(`${file}.new`, file)
  await api.restart()
}

async function mayGo(): Promise<ProgramResult> {
  return await kmsSealctl(second, 'verify-rotation', '--etcd', etcd.endpoint, '--encryption-config', file)
}

async function providerOf(name: string): Promise<string | undefined> {
  const stored = Buffer.from((await etcd.get(etcdKeyOf(name))) ?? []).toString('latin1')
  return /^k8s:enc:kms:v2:([^:]+):/.exec(stored)?.[1]
}

it('moves to another key by a second plugin, and needs the first one no more', async () => {
  await writeSecret(api, 'old', 'by the first key')
  await change(second, '--name', SECOND_NAME, '--last')
  await writeSecret(api, 'meanwhile', 'by the first key, too')
  expect(await providerOf('meanwhile')).toBe('sealwright')
  await change(second, '--name', SECOND_NAME)
  await writeSecret(api, 'new', 'by the second key')
  expect(await providerOf('new')).toBe(SECOND_NAME)
  expect(await readSecret(api, 'old')).toBe('by the first key')
  // What the first one encrypts is there as yet: neither of the two says that it may go.
  const early = await mayGo()
  expect(early).toMatchObject({ exitCode: 2 })
  expect(early.stdout).toMatch(/no: 2 objects are encrypted .*secrets/)

  const all = await api.kubectl(['get', 'secrets', '--all-namespaces', '-o', 'json'])
  await api.kubectl(['replace', '-f', '-'], { stdin: all })
  expect(await mayGo()).toMatchObject({ exitCode: 0 })
  await change(first, '--leave', 'remove')
  expect(await readFile(file, 'utf8')).not.toMatch(/name: sealwright$/m)
  await first.stop()
  await change(second, '--final')
  for (const name of ['old', 'meanwhile', 'new']) {
    expect(await providerOf(name)).toBe(SECOND_NAME)
    expect(await readSecret(api, name)).not.toBe('')
  }
}, 300_000)
