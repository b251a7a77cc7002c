import { createVerify } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { findProcesses, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import {
  type ApiServer,
  type ClusterIdentity,
  createClusterIdentity,
  ensureServiceAccount,
  type Etcd,
  messageOf,
  serviceAccountToken,
  startApiServer,
  startEtcd,
} from './index.ts'

let folder: TemporaryFolder
let identity: ClusterIdentity
let etcd: Etcd
let first: ApiServer
let second: ApiServer

beforeAll(async () => {
  folder = await temporaryFolder()
  identity = await createClusterIdentity({ directory: folder.path })
  etcd = await startEtcd({ directory: folder.path })
  ;[first, second] = await Promise.all([
    startApiServer({ directory: folder.path, identity, etcd }),
    startApiServer({ directory: folder.path, name: 'second', identity, etcd }),
  ])
}, 120_000)

afterAll(async () => {
  await Promise.all([first.stop(), second.stop()])
  await etcd.stop()
  await folder.remove()
})

const secrets = '/api/v1/namespaces/default/secrets'

async function writeSecret(server: ApiServer, name: string, value: string): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { value } }
  expect((await server.request({ method: 'POST', path: secrets, body })).status).toBe(201)
}

async function readSecret(server: ApiServer, name: string): Promise<string> {
  const { status, body } = await server.request({ path: `${secrets}/${name}` })
  expect(status).toBe(200)
  const { data } = body as { data: { value: string } }
  return Buffer.from(data.value, 'base64').toString()
}

describe('startApiServer', () => {
  it('stores a Secret in clear without encryption, and gives it back', async () => {
    await writeSecret(first, 'clear', 'open to all who see the disk')
    expect(await readSecret(first, 'clear')).toBe('open to all who see the disk')
    const stored = Buffer.from((await etcd.get('/registry/secrets/default/clear')) ?? [])
    expect(stored.subarray(0, 4).toString('latin1')).toBe('k8s\0')
    expect(stored.includes('open to all who see the disk')).toBe(true)
  })

  it('shows what one API server writes to the other', async () => {
    await writeSecret(first, 'by-first', '1')
    await writeSecret(second, 'by-second', '2')
    expect(await readSecret(second, 'by-first')).toBe('1')
    expect(await readSecret(first, 'by-second')).toBe('2')
  })

  it('signs service account tokens that each API server knows', async () => {
    await ensureServiceAccount(first, { namespace: 'app', name: 'web' })
    await ensureServiceAccount(first, { namespace: 'app', name: 'web' })
    const account = { namespace: 'app', name: 'web' }
    const token = await serviceAccountToken(first, account)
    const answer = await second.request({ path: secrets, token })
    expect(answer.status).toBe(403)
    expect(messageOf(answer)).toContain('User "system:serviceaccount:app:web" cannot list resource "secrets"')

    const forOpenBao = await serviceAccountToken(first, { ...account, audiences: ['openbao'], ttlSeconds: 600 })
    const [header = '', payload = '', signature = ''] = forOpenBao.split('.')
    expect(JSON.parse(Buffer.from(payload, 'base64url').toString())).toMatchObject({
      aud: ['openbao'],
      iss: identity.serviceAccountIssuer,
      sub: 'system:serviceaccount:app:web',
    })
    const verify = createVerify('RSA-SHA256').update(`${header}.${payload}`)
    const publicKey = await readFile(identity.serviceAccountPublicKeyPath)
    expect(verify.verify(publicKey, Buffer.from(signature, 'base64url'))).toBe(true)
    // It is for OpenBao alone.
    expect((await second.request({ path: secrets, token: forOpenBao })).status).toBe(401)
    await expect(serviceAccountToken(first, { namespace: 'app', name: 'nobody' })).rejects.toMatchObject({
      code: 'RIG_INVALID',
      message: expect.stringContaining('404') as string,
    })
  })

  it('lets kubectl in, with what is sent on its standard input', async () => {
    const manifest = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'piped' }, data: { a: 'b' } }
    expect(await first.kubectl(['create', '-f', '-'], { stdin: JSON.stringify(manifest) })).toBe(
      'configmap/piped created\n',
    )
    expect(await second.kubectl(['get', 'configmap', 'piped', '-o', 'jsonpath={.data.a}'])).toBe('b')
    await expect(first.kubectl(['get', 'configmap', 'missing'])).rejects.toThrow(/configmaps "missing" not found/)
    expect((await stat(first.kubeconfigPath)).mode & 0o777).toBe(0o600)
  })

  it('says how it is, and what it has counted', async () => {
    const { ok, checks } = await first.health('readyz')
    expect(ok).toBe(true)
    expect(checks).toMatchObject({ etcd: true, 'informer-sync': true })
    expect(await first.metrics()).toContain('\napiserver_request_total{')
  })

  it('keeps all data when both API servers and etcd are started again, on their addresses', async () => {
    await writeSecret(first, 'kept', '3')
    const before = [first.url, second.url]
    await Promise.all([first.stop(), second.stop()])
    expect(await first.state()).toBe('unreachable')
    etcd.kill()
    await etcd.process().exited
    await etcd.start()
    await Promise.all([first.start(), second.start()])
    expect([first.url, second.url]).toEqual(before)
    expect(await readSecret(first, 'kept')).toBe('3')
    expect(await readSecret(second, 'kept')).toBe('3')
  }, 120_000)

  it('refuses a token that it does not know', async () => {
    expect((await first.request({ path: secrets, token: 'nobody' })).status).toBe(401)
  })

  it('says what the log says when it cannot start, and leaves no process behind', async () => {
    const args = ['--no-such-flag']
    const failing = startApiServer({ directory: folder.path, name: 'wrong', identity, etcd, args })
    await expect(failing).rejects.toMatchObject({
      code: 'RIG_PROCESS_ENDED',
      message: expect.stringContaining('unknown flag: --no-such-flag') as string,
    })
    const late = startApiServer({ directory: folder.path, name: 'late', identity, etcd, timeoutMs: 50 })
    await expect(late).rejects.toMatchObject({
      code: 'RIG_TIMEOUT',
      message: expect.stringContaining('its last state was "unreachable"') as string,
    })
    const certificate = `--tls-cert-file=${folder.join('late.crt')}`
    expect(findProcesses(({ commandLine }) => commandLine.includes(certificate))).toEqual([])
    // The look itself can find one.
    const own = certificate.replace('late', 'second')
    expect(findProcesses(({ commandLine }) => commandLine.includes(own)).map(({ pid }) => pid)).toEqual([second.pid()])
  })
})
