import { readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer as createPlainServer, type Server as PlainServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { Secret } from '@sealwright/secret'
import { printsOf } from '@sealwright/testing-checks'
import {
  type CertificateAuthority,
  certificateAuthority,
  type IssuedCertificate,
  freePort,
  startOpenBao,
  startProcess,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { type OpenBaoClient, openBaoClient, type OpenBaoClientOptions, OpenBaoError } from './index.ts'

let folder: TemporaryFolder
let authority: CertificateAuthority
let server: PlainServer | undefined
const clients: OpenBaoClient[] = []
const call = { signal: new AbortController().signal }

beforeEach(async () => {
  folder = await temporaryFolder()
  authority = await certificateAuthority({ directory: folder.join('tls') })
})

afterEach(async () => {
  await Promise.all(
    clients.splice(0).map(async client => {
      await client.close()
    }),
  )
  const closed = Promise.withResolvers<undefined>()
  if (server === undefined) closed.resolve(undefined)
  else
    server.close(() => {
      closed.resolve(undefined)
    })
  await closed.promise
  server = undefined
  await folder.remove()
})

const INITIALISED = 'HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n{"initialized":true}'

async function serve(dnsNames: readonly string[] = []): Promise<string> {
  const issued = await authority.issue({ name: 'server', usage: 'server', dnsNames })
  const files = { cert: await readFile(issued.certificatePath), key: await readFile(issued.privateKeyPath) }
  const started = createServer(files, socket => {
    socket.on('error', () => socket.destroy())
    socket.once('data', () => socket.end(INITIALISED))
  })
  return `https://127.0.0.1:${await listen(started)}`
}

async function servePlain(answer: (socket: Socket) => unknown): Promise<number> {
  const started = createPlainServer(socket => {
    socket.on('error', () => socket.destroy())
    answer(socket)
  })
  return await listen(started)
}

async function listen(started: PlainServer): Promise<number> {
  server = started
  const listening = Promise.withResolvers<number>()
  started.listen({ port: 0, host: '127.0.0.1' }, () => {
    listening.resolve((started.address() as AddressInfo).port)
  })
  return await listening.promise
}

function clientTo(address: string, options: Partial<OpenBaoClientOptions> = {}): OpenBaoClient {
  const client = openBaoClient({ address, trust: { kind: 'ca-file', path: authority.certificatePath }, ...options })
  clients.push(client)
  return client
}

async function pair({ certificatePath, privateKeyPath }: IssuedCertificate) {
  const key = new Secret(Uint8Array.from(await readFile(privateKeyPath)))
  return { certificatePem: await readFile(certificatePath, 'utf8'), privateKeyPem: key }
}

async function isReachable(client: OpenBaoClient, signal: AbortSignal): Promise<boolean> {
  try {
    await client.initStatus({ signal })
    return true
  } catch (error) {
    if (error instanceof OpenBaoError && error.code === 'OPENBAO_UNREACHABLE') return false
    throw error
  }
}

function errorOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return error
  }
}

describe('trust', () => {
  it('shows a client certificate to an OpenBao that asks for one, even after the key was wiped', async () => {
    const issued = await authority.issue({ name: 'server', usage: 'server' })
    const caPath = authority.certificatePath
    await using bao = await startOpenBao({
      directory: folder.join('n1'),
      nodeId: 'n1',
      apiPort: await freePort(),
      clusterPort: await freePort(),
      tls: { ...issued, caPath, clientCaPath: caPath },
      seal: { kind: 'shamir' },
      // The rig has no certificate to show, so it cannot see when the node listens.
      until: 'nothing',
    })
    const clientCertificate = await pair(await authority.issue({ name: 'client', usage: 'client' }))
    const client = clientTo(bao.apiAddress, { clientCertificate })
    clientCertificate.privateKeyPem.wipe()
    await bao.waitFor(async (_, signal) => await isReachable(client, signal), { what: 'it listens' })
    expect(await client.initStatus(call)).toBe(false)
    await expect(clientTo(bao.apiAddress).initStatus(call)).rejects.toMatchObject({ code: 'OPENBAO_TLS' })
  })

  it('does not let the environment switch the check off', async () => {
    const other = await certificateAuthority({ directory: folder.join('other') })
    const script = folder.join('client.mts')
    const options = { address: await serve(), trust: { kind: 'ca-file', path: other.certificatePath } }
    await writeFile(
      script,
      `import { openBaoClient } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
       await using client = openBaoClient(${JSON.stringify(options)})
       await client.initStatus({ signal: AbortSignal.timeout(5000) }).then(console.log, error => console.log(error.code))`,
    )
    await using run = await startProcess({
      name: 'client',
      command: process.execPath,
      args: [script],
      logDirectory: folder.path,
      environment: { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
    })
    expect(await run.exited).toEqual({ code: 0, signal: null })
    expect(run.logTail()).toContain('OPENBAO_TLS')
  })

  it('tells a certificate of another name, and shows a little of it only, however many names it has', async () => {
    const names = Array.from({ length: 200 }, (_, index) => `node-${index}.example`)
    const client = clientTo(await serve(names), { serverName: 'other.example' })
    const error: unknown = await client.initStatus(call).catch((caught: unknown) => caught)
    expect(error).toMatchObject({
      code: 'OPENBAO_TLS',
      message: expect.stringContaining('(ERR_TLS_CERT_ALTNAME_INVALID)') as unknown,
      cause: { message: expect.stringContaining('Host: other.example. is not in') as unknown },
    })
    for (const printed of printsOf(error)) {
      expect(printed).toContain('OPENBAO_TLS')
      expect(printed).not.toMatch(/node-199|pubkey|fingerprint|Buffer/)
    }
  })

  it('tells a server that does not speak TLS', async () => {
    const port = await servePlain(socket => {
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    })
    const client = clientTo(`https://127.0.0.1:${port}`)
    await expect(client.initStatus(call)).rejects.toMatchObject({ code: 'OPENBAO_TLS' })
  })

  it('tells a server that is silent during the handshake', async () => {
    const port = await servePlain(socket => socket.resume())
    const client = clientTo(`https://127.0.0.1:${port}`, { connectTimeoutMs: 100 })
    await expect(client.initStatus(call)).rejects.toMatchObject({ code: 'OPENBAO_UNREACHABLE' })
  })

  it('refuses files that cannot work, before anything is sent', () => {
    const brokenPem = authority.certificatePem.replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAAAAAAAAAAAAAAAAAA')
    const bad: readonly Partial<OpenBaoClientOptions>[] = [
      { trust: { kind: 'ca-file', path: folder.join('missing.pem') } },
      { trust: { kind: 'ca-file', path: folder.path } },
      { trust: { kind: 'ca-pem', pem: '' } },
      { trust: { kind: 'ca-pem', pem: 'no certificate' } },
      { trust: { kind: 'ca-pem', pem: brokenPem } },
      { trust: { kind: 'ca-pem', pem: authority.certificatePem + brokenPem } },
    ]
    for (const options of bad) {
      expect(errorOf(() => clientTo('https://bao.example', options))).toMatchObject({ code: 'OPENBAO_TLS' })
    }
  })

  it('refuses a client key that is not the one of the certificate, and shows nothing of it', async () => {
    const one = await pair(await authority.issue({ name: 'one', usage: 'client' }))
    const two = await pair(await authority.issue({ name: 'two', usage: 'client' }))
    const clientCertificate = { ...one, privateKeyPem: two.privateKeyPem }
    const error = errorOf(() => clientTo('https://bao.example', { clientCertificate }))
    expect(error).toBeInstanceOf(OpenBaoError)
    expect(error).toMatchObject({ code: 'OPENBAO_TLS', message: expect.not.stringContaining('PRIVATE') as unknown })
  })

  it('wants to know whom to trust for https, and has no use for it elsewhere', () => {
    expect(errorOf(() => openBaoClient({ address: 'https://bao.example' }))).toMatchObject({ code: 'OPENBAO_TLS' })
    for (const address of ['http://127.0.0.1:8200', 'unix:/run/bao.sock']) {
      expect(errorOf(() => openBaoClient({ address, trust: { kind: 'system' } }))).toMatchObject({
        code: 'OPENBAO_TLS',
      })
    }
  })
})
