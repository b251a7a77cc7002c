import { readFile } from 'node:fs/promises'
import { Secret } from '@sealwright/secret'
import { certificateAuthority, freePort, temporaryFolder } from '@sealwright/testing-rig'
import { openReopeningTransport, type ReadClientCertificate, type ReopeningOptions } from './reopening-transport.ts'
import { closeAll, serveRaw, whole } from './testing/raw-server.ts'
import { type Request } from './transport.ts'

afterEach(closeAll)

const request = (signal = new AbortController().signal): Request => ({
  method: 'GET',
  path: 'sys/init',
  call: { signal },
  expected: [200],
})

describe('a transport that reads its certificates when they are needed', () => {
  it('opens once for many calls, and again after a certificate that could not be read', async () => {
    await using folder = await temporaryFolder()
    const authority = await certificateAuthority({ directory: folder.path })
    let reads = 0
    const readClientCertificate: ReadClientCertificate = async () => {
      reads += 1
      return await Promise.reject(new Error('not there yet'))
    }
    const trust = { kind: 'ca-pem', pem: authority.certificatePem } as const
    const transport = openReopeningTransport({ address: 'https://127.0.0.1:9', trust, readClientCertificate })
    const unreadable = { code: 'OPENBAO_CREDENTIAL_UNREADABLE', message: 'no client certificate: not there yet' }
    await Promise.all(
      [1, 2, 3].map(async () => {
        await expect(transport.send(request())).rejects.toMatchObject(unreadable)
      }),
    )
    expect(reads).toBe(1)
    await expect(transport.send(request())).rejects.toMatchObject(unreadable)
    expect(reads).toBe(2)
    await transport.close()
  })

  it('lets one caller leave while others wait for the same certificate', async () => {
    const certificate = Promise.withResolvers<never>()
    const options: ReopeningOptions = {
      address: 'https://127.0.0.1:9',
      trust: { kind: 'system' },
      readClientCertificate: async () => await certificate.promise,
    }
    const transport = openReopeningTransport(options)
    const leaving = new AbortController()
    const first = transport.send(request(leaving.signal))
    const second = transport.send(request())
    leaving.abort()
    await expect(first).rejects.toMatchObject({ code: 'OPENBAO_CANCELLED' })
    certificate.reject(new Error('gone'))
    await expect(second).rejects.toMatchObject({ code: 'OPENBAO_CREDENTIAL_UNREADABLE' })
    await transport.close()
  })

  it('reads both again where another call has read a new certificate beside an old key', async () => {
    await using folder = await temporaryFolder()
    const authority = await certificateAuthority({ directory: folder.path })
    const [old, renewed] = await Promise.all(
      ['old', 'renewed'].map(async name => await authority.issue({ name, usage: 'client' })),
    )
    const mixed = { certificatePath: renewed?.certificatePath ?? '', privateKeyPath: old?.privateKeyPath ?? '' }
    let reads = 0
    const options: ReopeningOptions = {
      address: `https://127.0.0.1:${await freePort()}`,
      trust: { kind: 'ca-pem', pem: authority.certificatePem },
      readClientCertificate: async () => {
        reads += 1
        const { certificatePath, privateKeyPath } = reads === 1 ? mixed : (renewed ?? mixed)
        const privateKeyPem = new Secret(Uint8Array.from(await readFile(privateKeyPath)))
        return { certificatePem: await readFile(certificatePath, 'utf8'), privateKeyPem }
      },
    }
    const transport = openReopeningTransport(options)
    const codes = await Promise.all(
      [1, 2].map(
        async () => await transport.send(request()).catch((error: unknown) => (error as { code?: unknown }).code),
      ),
    )
    expect(codes).toEqual(['OPENBAO_TLS', 'OPENBAO_UNREACHABLE'])
    expect(reads).toBe(2)
    await transport.close()
  })

  it('wipes the private key as soon as it was used', async () => {
    const privateKeyPem = new Secret(new TextEncoder().encode('no key at all'))
    const options: ReopeningOptions = {
      address: 'https://127.0.0.1:9',
      trust: { kind: 'system' },
      readClientCertificate: async () => await Promise.resolve({ certificatePem: 'no certificate', privateKeyPem }),
    }
    const transport = openReopeningTransport(options)
    await expect(transport.send(request())).rejects.toMatchObject({ code: 'OPENBAO_TLS' })
    expect(() => privateKeyPem.reveal(bytes => bytes)).toThrow('wiped')
    await transport.close()
  })

  it('sends nothing after it was closed', async () => {
    const raw = await serveRaw(whole('200 OK', '{}'))
    const transport = openReopeningTransport({ address: raw.address })
    expect((await transport.send(request())).status).toBe(200)
    await transport.close()
    await expect(transport.send(request())).rejects.toMatchObject({ code: 'OPENBAO_CANCELLED' })
    expect(raw.requests).toHaveLength(1)
  })

  it('refuses an address at once', () => {
    expect(() => openReopeningTransport({ address: 'http://bao.example' })).toThrow('OpenBao address')
  })

  it('sends the namespace with every call', async () => {
    const raw = await serveRaw(whole('200 OK', '{}'))
    const transport = openReopeningTransport({ address: raw.address, namespace: 'team/blue' })
    await transport.send(request())
    expect(raw.requests[0]).toContain('X-Vault-Namespace: team/blue\r\n')
    await transport.close()
  })
})
