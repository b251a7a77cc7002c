import { readFile } from 'node:fs/promises'
import {
  createKmsControlPlane,
  etcdKeyOf,
  type KmsControlPlane,
  readSecret,
  startTransitOpenBao,
  storedKeyId,
  type TransitOpenBao,
  writeSecret,
} from '@sealwright/testing-kms'
import { messageOf } from '@sealwright/testing-kubernetes'
import { waitUntil } from '@sealwright/testing-rig'
import { sharedScope } from './test-scope.ts'

// One story in the order of its tests: what kube-apiserver makes of our plugin, from the first Secret to a retired key.
const scope = sharedScope()

let bao: TransitOpenBao
let plane: KmsControlPlane

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
  plane = scope.use(
    await createKmsControlPlane({
      directory: scope.folder.path,
      names: ['cp-a', 'cp-b'],
      settings: { backend: bao.backend() },
    }),
  )
}, 300_000)

/** The key id by which etcd holds a Secret. */
async function keyIdOf(name: string): Promise<string> {
  const keyId = storedKeyId((await plane.etcd.get(etcdKeyOf(name))) ?? new Uint8Array())
  if (keyId === null) throw new Error(`${name} is not encrypted by our provider`)
  return keyId
}

const api = (index = 0) => {
  const node = plane.nodes[index]
  if (node === undefined) throw new Error(`there is no node ${index}`)
  return node.api
}

/** A cold start: nothing that an API server or a plugin had in memory is left. */
async function restartEverything(): Promise<void> {
  for (const { api: server, plugin } of plane.nodes) {
    await server.stop()
    await plugin.stop()
  }
  await plane.etcd.restart()
  for (const { api: server, plugin } of plane.nodes) {
    await plugin.start()
    await server.start()
  }
}

describe('kube-apiserver with our plugin', () => {
  it('stores Secrets encrypted, and gives them back', async () => {
    await writeSecret(api(), 'first', 'a word that nobody else says')
    const stored = Buffer.from((await plane.etcd.get(etcdKeyOf('first'))) ?? [])
    expect(stored.subarray(0, 26).toString('latin1')).toBe('k8s:enc:kms:v2:sealwright:')
    expect(stored.includes('a word that nobody else says')).toBe(false)
    expect(await readSecret(api(), 'first')).toBe('a word that nobody else says')
  })

  it('has the same key id on each node, and each reads what the other wrote', async () => {
    await writeSecret(api(1), 'second', 'by the other node')
    expect(await keyIdOf('second')).toBe(await keyIdOf('first'))
    expect(await readSecret(api(0), 'second')).toBe('by the other node')
    expect(await readSecret(api(1), 'first')).toBe('a word that nobody else says')
  })

  it('reads everything after a restart of everything', async () => {
    await restartEverything()
    for (const index of [0, 1]) {
      expect(await readSecret(api(index), 'first')).toBe('a word that nobody else says')
      expect(await readSecret(api(index), 'second')).toBe('by the other node')
    }
  }, 300_000)

  it('goes on reading while OpenBao is down; a start then waits, says why, and goes on by itself once it is back', async () => {
    bao.node.kill()
    await bao.node.process().exited
    expect(await readSecret(api(0), 'first')).toBe('a word that nobody else says')

    const { api: server, plugin } = plane.nodes[0]
    await server.stop()
    await plugin.stop()
    // The plugin knows its key from before, so its socket is there.
    await plugin.start()
    await server.start({ until: 'nothing' })
    await waitUntil(async () => (await plugin.ask('/readyz')).status === 503, {
      what: 'the plugin to be ill',
      timeoutMs: 30_000,
    })
    expect((await plugin.ask('/readyz')).text).toMatch(/^KMS_BACKEND_UNAVAILABLE: OpenBao is not available/)
    await server.waitFor('listening')
    const refused = await server.request({ path: '/api/v1/namespaces/default/secrets/first' })
    expect(refused.status).toBe(500)
    // The words of kube-apiserver itself; ours, with what to do, are in its log.
    expect(messageOf(refused)).toContain('got unexpected nil transformer')
    const { checks } = await server.health('readyz')
    expect(checks).toMatchObject({ 'kms-providers': false })
    const said = await waitUntil(
      async () => {
        const log = await readFile(server.process().logPath, 'utf8')
        return log.includes('OpenBao is not available: it is down, sealed, or out of reach') && log
      },
      { what: 'our words in the log of kube-apiserver', timeoutMs: 60_000 },
    )
    expect(said).not.toContain(new URL(bao.node.apiAddress).host)

    await bao.node.start({ until: 'active' })
    await server.waitFor('ready')
    expect(await readSecret(server, 'first')).toBe('a word that nobody else says')
  }, 300_000)

  it('writes by a new version once all nodes have seen it, and retires the old one when everything is written anew', async () => {
    const before = await keyIdOf('first')
    await bao.rotate()
    for (const { plugin } of plane.nodes) {
      await waitUntil(async () => (await plugin.ask('/metrics')).text.includes('sealwright_kms_key_version 2'), {
        what: `version 2 on ${plugin.name}`,
        timeoutMs: 60_000,
      })
    }
    // kube-apiserver asks for the status once a minute: sooner after a start.
    for (const { api: server } of plane.nodes) await server.restart()
    await writeSecret(api(), 'third', 'by version 2')
    const after = await keyIdOf('third')
    expect(after).not.toBe(before)
    expect(await keyIdOf('first')).toBe(before)
    expect(await readSecret(api(1), 'first')).toBe('a word that nobody else says')

    const old = (await plane.etcd.get(etcdKeyOf('first'))) ?? new Uint8Array()
    const all = await api().kubectl(['get', 'secrets', '-A', '-o', 'json'])
    await api().kubectl(['replace', '-f', '-'], { stdin: all })
    for (const name of ['first', 'second', 'third']) expect(await keyIdOf(name)).toBe(after)

    await bao.configure({ min_decryption_version: 2 })
    await restartEverything()
    for (const name of ['first', 'second', 'third']) expect(await readSecret(api(1), name)).not.toBe('')

    // What was written before, as from an old backup of etcd, is refused with a word that helps.
    await plane.etcd.put(etcdKeyOf('old'), old)
    const refused = await api().request({ path: '/api/v1/namespaces/default/secrets/old' })
    expect(refused.status).toBe(500)
    expect(messageOf(refused)).toContain('by a version of the key that was retired')
  }, 300_000)
})
