import { rename } from 'node:fs/promises'
import { createServer } from 'node:net'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import {
  type ApiServer,
  type ClusterIdentity,
  createClusterIdentity,
  type Encryption,
  type Etcd,
  expectStatus,
  messageOf,
  startApiServer,
  startEtcd,
} from './index.ts'

let folder: TemporaryFolder
let identity: ClusterIdentity
let etcd: Etcd
let server: ApiServer

const secrets = '/api/v1/namespaces/default/secrets'
const secret = (name: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { a: 'b' } })

beforeAll(async () => {
  folder = await temporaryFolder()
  identity = await createClusterIdentity({ directory: folder.path })
  etcd = await startEtcd({ directory: folder.path })
  const clear = await startApiServer({ directory: folder.path, name: 'clear', identity, etcd })
  expectStatus(await clear.request({ method: 'POST', path: secrets, body: secret('from-before') }), 'a Secret', 201)
  await clear.stop()
  const encryption: Encryption = {
    providers: [
      { kms: { name: 'absent', socketPath: folder.join('absent.sock'), timeoutMs: 500 } },
      { kms: { name: 'stale', socketPath: await staleSocket(folder.join('stale.sock')), timeoutMs: 500 } },
      'identity',
    ],
  }
  // All that does not need the plugins comes up.
  server = await startApiServer({ directory: folder.path, identity, etcd, encryption, until: 'ready-except-kms' })
}, 120_000)

afterAll(async () => {
  await server.stop()
  await etcd.stop()
  await folder.remove()
})

/** A socket whose server ended without removing it, as one that was killed. */
async function staleSocket(path: string): Promise<string> {
  const server = createServer()
  const listening = Promise.withResolvers<undefined>()
  server.listen(`${path}.live`, () => {
    listening.resolve(undefined)
  })
  await listening.promise
  // Node removes the socket of a server that it closes, though only under the name it gave it.
  await rename(`${path}.live`, path)
  const closed = Promise.withResolvers<undefined>()
  server.close(() => {
    closed.resolve(undefined)
  })
  await closed.promise
  return path
}

describe('an API server whose KMS plugins do not answer', () => {
  it('starts and lives, but is not ready, and says why to those who ask for the check by its name', async () => {
    expect((await server.health('livez')).failing).toEqual([])
    expect((await server.health('readyz')).failing).toEqual(['kms-providers'])
    expect(await server.state()).toBe('ready-except-kms')
    const { status, text } = await server.request({ path: '/readyz/kms-providers' })
    expect(status).toBe(500)
    expect(text).toMatch(/kms-provider-0: .*code = DeadlineExceeded.*absent\.sock: connect: no such file or directory/)
    expect(text).toMatch(/kms-provider-1: .*code = DeadlineExceeded.*stale\.sock: connect: connection refused/)
    expect((await server.request({ path: '/readyz?exclude=kms-providers' })).status).toBe(200)
  })

  it('refuses to write Secrets, and never falls back to writing them in clear', async () => {
    const answer = await server.request({ method: 'POST', path: secrets, body: secret('refused') })
    expect(answer.status).toBe(500)
    expect(messageOf(answer)).toBe('Internal error occurred: got unexpected nil transformer')
    expect(await etcd.get('/registry/secrets/default/refused')).toBeNull()
    await expect(server.kubectl(['create', 'secret', 'generic', 'refused', '--from-literal=a=b'])).rejects.toThrow(
      'got unexpected nil transformer',
    )
  })

  it('reads Secrets in clear, and what is not encrypted at all', async () => {
    expect((await server.request({ path: `${secrets}/from-before` })).status).toBe(200)
    const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { a: 'b' } }
    const path = '/api/v1/namespaces/default/configmaps'
    expect((await server.request({ method: 'POST', path, body: configMap })).status).toBe(201)
  })

  it('cannot read a Secret that a plugin encrypted', async () => {
    // An EncryptedObject: encryptedData 'a', keyID 'k', encryptedDEKSource 'd', of the type that is a seed.
    const object = Buffer.from([0x0a, 1, 0x61, 0x12, 1, 0x6b, 0x1a, 1, 0x64, 0x28, 1])
    const key = '/registry/secrets/default/encrypted'
    await etcd.put(key, Buffer.concat([Buffer.from('k8s:enc:kms:v2:absent:'), object]))
    const answer = await server.request({ path: `${secrets}/encrypted` })
    expect(answer.status).toBe(500)
    expect(messageOf(answer)).toBe('Internal error occurred: got unexpected nil transformer')
  })
})
