import {
  createKmsControlPlane,
  KMS_KEY,
  type KmsControlPlane,
  readSecret,
  startTransitOpenBao,
  type TransitOpenBao,
  writeSecret,
} from '@sealwright/testing-kms'
import { waitUntil } from '@sealwright/testing-rig'
import { sharedScope } from './test-scope.ts'

// What kube-apiserver does when its key is deleted and made anew in OpenBao: what it wrote after that could be lost with its memory.
const scope = sharedScope()

/** kube-apiserver writes by a seed for so long after the last Status that named its key id (`kmsv2PluginWriteDEKSourceMaxTTL`). */
const WRITE_TTL_MS = 180_000
const MARGIN_MS = 60_000

let bao: TransitOpenBao
let plane: KmsControlPlane

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
  plane = scope.use(
    await createKmsControlPlane({
      directory: scope.folder.path,
      names: ['cp'],
      settings: { backend: bao.backend() },
    }),
  )
}, 300_000)

async function administer(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<unknown> {
  const answer = await bao.administer({ method, path, ...(body === undefined ? {} : { body }) })
  return answer.body
}

it('stops writing within three minutes, goes on reading, and writes again once the old key is back', async () => {
  const [{ api, plugin }] = plane.nodes
  await writeSecret(api, 'first', 'by the old key')
  await bao.configure({ deletion_allowed: true, exportable: true, allow_plaintext_backup: true })
  const backup = (await administer('GET', `transit/backup/${KMS_KEY}`)) as {
    readonly data: { readonly backup: string }
  }
  await administer('DELETE', `transit/keys/${KMS_KEY}`)
  await administer('POST', `transit/keys/${KMS_KEY}`, { type: 'aes256-gcm96' })
  await waitUntil(async () => (await plugin.ask('/readyz')).text.startsWith('KMS_KEY_GONE'), {
    what: 'the plugin to say that the key is another one',
    timeoutMs: MARGIN_MS,
  })
  const write = async (): Promise<number> => {
    const body = { apiVersion: 'v1', kind: 'Secret', metadata: { generateName: 'later-' }, stringData: { value: 'x' } }
    return (await api.request({ method: 'POST', path: '/api/v1/namespaces/default/secrets', body })).status
  }
  await waitUntil(async () => (await write()) === 500, {
    ...{ what: 'the API server to refuse to write', timeoutMs: WRITE_TTL_MS + MARGIN_MS, intervalMs: 1_000 },
  })
  expect(await readSecret(api, 'first')).toBe('by the old key')

  await administer('POST', `transit/restore/${KMS_KEY}`, { backup: backup.data.backup, force: true })
  await waitUntil(async () => (await write()) === 201, {
    ...{ what: 'the API server to write again', timeoutMs: 2 * MARGIN_MS, intervalMs: 1_000 },
  })
  // What it has written all the time is read by another one, which has nothing in memory.
  await api.restart()
  const { body } = await api.request({ path: '/api/v1/namespaces/default/secrets' })
  expect((body as { readonly items: readonly unknown[] }).items.length).toBeGreaterThan(1)
  expect(await readSecret(api, 'first')).toBe('by the old key')
}, 600_000)
