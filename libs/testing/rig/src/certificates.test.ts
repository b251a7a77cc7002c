import { X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { type AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { certificateAuthority, temporaryFolder, type TemporaryFolder } from './index.ts'

let folder: TemporaryFolder

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await folder.remove()
})

describe('certificateAuthority', () => {
  it('issues certificates that a TLS server and client accept of each other', async () => {
    const authority = await certificateAuthority({ directory: folder.join('tls') })
    const read = async (usage: 'server' | 'client') => {
      const issued = await authority.issue({ name: usage, usage })
      return { cert: await readFile(issued.certificatePath), key: await readFile(issued.privateKeyPath) }
    }
    const server = createServer({
      ...(await read('server')),
      ca: authority.certificatePem,
      requestCert: true,
      rejectUnauthorized: true,
    })
    const accepted = Promise.withResolvers<TLSSocket>()
    server.once('secureConnection', accepted.resolve)
    server.once('tlsClientError', accepted.reject)
    const listening = Promise.withResolvers<AddressInfo>()
    server.listen({ port: 0, host: '127.0.0.1' }, () => {
      listening.resolve(server.address() as AddressInfo)
    })
    const { port } = await listening.promise
    const client = connect({ port, host: '127.0.0.1', ca: authority.certificatePem, ...(await read('client')) })
    const accepting = await accepted.promise
    expect(accepting.authorized).toBe(true)
    expect(accepting.getPeerCertificate().subject.CN).toBe('client')
    accepting.destroy()
    client.destroy()
    server.close()
  })

  it('writes private files and the names that were asked for', async () => {
    const authority = await certificateAuthority({ directory: folder.join('tls') })
    const issued = await authority.issue({
      name: 'n1',
      usage: 'server',
      dnsNames: ['n1.lab'],
      ipAddresses: ['127.0.0.2'],
    })
    for (const path of [authority.certificatePath, issued.certificatePath, issued.privateKeyPath]) {
      expect((await stat(path)).mode & 0o777).toBe(0o600)
    }
    const certificate = new X509Certificate(await readFile(issued.certificatePath))
    const issuer = new X509Certificate(authority.certificatePem)
    expect(certificate.subjectAltName).toBe('DNS:localhost, DNS:n1.lab, IP Address:127.0.0.1, IP Address:127.0.0.2')
    expect(certificate.ca).toBe(false)
    expect(issuer.ca).toBe(true)
    expect(certificate.checkIssued(issuer)).toBe(true)
    expect(certificate.verify(issuer.publicKey)).toBe(true)
  })

  it('refuses a name that would need quoting', async () => {
    const authority = await certificateAuthority({ directory: folder.path })
    await expect(authority.issue({ name: 'a,CN=b', usage: 'server' })).rejects.toMatchObject({ code: 'RIG_INVALID' })
  })
})
