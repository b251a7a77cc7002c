import { randomBytes } from 'node:crypto'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer as createPlainServer, type Server } from 'node:net'
import { connect } from 'node:tls'
import { Secret } from '@sealwright/secret'
import {
  type CertificateAuthority,
  certificateAuthority,
  freePort,
  type IssuedCertificate,
  type OpenBaoNode,
  startOpenBao,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import {
  closeTransits,
  prepareTransit,
  reads,
  secretOf,
  type SecondOpenBao,
  transitOf,
  USE_ONLY,
} from '../testing/second-openbao.ts'
import { secureContext } from '../trust.ts'
import { TransitError } from './error.ts'
import { transitSealMember } from './seal-member.ts'
import { type TransitAccess, type TransitOptions } from './transit-access.ts'

/** One real server that comes and goes, and changes its certificate. */
let folder: TemporaryFolder
let authority: CertificateAuthority
let certificate: IssuedCertificate
let node: OpenBaoNode
let bao: SecondOpenBao
let token: string
let sealed: Uint8Array

const call = { signal: new AbortController().signal }
const memberId = new Uint8Array(16)

beforeAll(async () => {
  folder = await temporaryFolder()
  const keyFile = folder.join('seal.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  authority = await certificateAuthority({ directory: folder.join('tls') })
  await copyFile(authority.certificatePath, folder.join('ca.pem'))
  certificate = await authority.issue({ name: 'n1', usage: 'server' })
  node = await startOpenBao({
    directory: folder.join('n1'),
    nodeId: 'n1',
    apiPort: await freePort(),
    clusterPort: await freePort(),
    tls: { ...certificate, caPath: authority.certificatePath },
    seal: { kind: 'static', keyFile },
  })
  bao = await prepareTransit(node)
  token = await bao.token([USE_ONLY])
  sealed = await transitSealMember({ access: access(), memberId }).sealKek(new Secret(new Uint8Array(32)), call)
})

afterEach(closeTransits)

afterAll(async () => {
  await node.stop()
  await folder.remove()
})

function access(options: Partial<TransitOptions> = {}): TransitAccess {
  const caFile = { kind: 'ca-file', path: folder.join('ca.pem') } as const
  return transitOf(node, { auth: { method: 'token', readToken: reads(token) }, trust: caFile, ...options })
}

/** Opens the sealed KEK: `opened`, or code and kind. */
async function outcome(transit: TransitAccess, signal = call.signal): Promise<string> {
  try {
    const member = transitSealMember({ access: transit, memberId })
    return (await member.unsealKek(sealed, { signal, method: 'transit' })).byteLength === 32 ? 'opened' : 'wrong'
  } catch (error) {
    if (error instanceof TransitError) return `${error.code} ${error.kind}`
    throw error
  }
}

/** Waits for an outcome that is not there at once: a server starts, or takes another certificate. */
async function waitForOutcome(given: TransitAccess | (() => TransitAccess), expected: string): Promise<void> {
  let last = ''
  const transit = typeof given === 'function' ? given : () => given
  await waitUntil(async () => (last = await outcome(transit())) === expected, {
    what: expected,
    timeoutMs: 20_000,
    describe: () => `the last outcome was ${last}`,
  })
}

describe('the certificate of the other OpenBao', () => {
  /** Puts another certificate in place of the server's, which reads it again on SIGHUP. */
  async function serve(issued: IssuedCertificate): Promise<void> {
    if (issued !== certificate) await copyFile(issued.certificatePath, certificate.certificatePath)
    if (issued !== certificate) await copyFile(issued.privateKeyPath, certificate.privateKeyPath)
    node.kill('SIGHUP')
  }

  /** One whose time lies this far from now. */
  async function issueAt(name: string, offsetMs: number): Promise<IssuedCertificate> {
    const nowMs = Date.now()
    const clock = jest.spyOn(Date, 'now').mockReturnValue(nowMs + offsetMs)
    try {
      return await authority.issue({ name, usage: 'server' })
    } finally {
      clock.mockRestore()
    }
  }

  const DAY_MS = 24 * 3_600_000

  it('is refused while it is expired, not valid yet or of another authority, and taken again with no restart of ours', async () => {
    const good = { certificatePath: folder.join('good.crt'), privateKeyPath: folder.join('good.key') }
    await copyFile(certificate.certificatePath, good.certificatePath)
    await copyFile(certificate.privateKeyPath, good.privateKeyPath)
    const transit = access()
    // A connection from before keeps the certificate that it met: each try makes one of its own.
    const anew = (): TransitAccess => access()
    await serve(await issueAt('expired', -60 * DAY_MS))
    await waitForOutcome(anew, 'TRANSIT_CERTIFICATE_EXPIRED permanent')
    await serve(good)
    await waitForOutcome(anew, 'opened')
    await serve(await issueAt('early', 60 * DAY_MS))
    await waitForOutcome(anew, 'TRANSIT_CERTIFICATE_EXPIRED permanent')
    const other = await certificateAuthority({ directory: folder.join('other') })
    await serve(await other.issue({ name: 'n1', usage: 'server' }))
    await waitForOutcome(anew, 'TRANSIT_CERTIFICATE_UNTRUSTED permanent')
    expect(await outcome(transit)).toBe('TRANSIT_CERTIFICATE_UNTRUSTED permanent')
    // The other authority becomes ours: its file is read again by itself.
    await copyFile(other.certificatePath, folder.join('ca.pem'))
    expect(await outcome(transit)).toBe('opened')
    await copyFile(authority.certificatePath, folder.join('ca.pem'))
    await serve(good)
    // The connection that is there from before says nothing of the certificate that the server has now.
    await waitForOutcome(anew, 'opened')
    expect(await outcome(transit)).toBe('opened')
  })

  it('is refused for another name, unless that is the one we were told', async () => {
    expect(await outcome(access({ serverName: 'somebody.example' }))).toBe('TRANSIT_CERTIFICATE_NAME permanent')
    expect(await outcome(access({ serverName: 'localhost' }))).toBe('opened')
  })

  it('is not looked at where that was asked for in so many words', async () => {
    expect(await outcome(access({ trust: { kind: 'system' } }))).toBe('TRANSIT_CERTIFICATE_UNTRUSTED permanent')
    expect(await outcome(access({ trust: { kind: 'unsafely-anybody' } }))).toBe('opened')
  })

  it('cannot be checked with a file that holds none, and can once the file was put right', async () => {
    const path = folder.join('later.pem')
    await writeFile(path, 'not a certificate')
    const transit = access({ trust: { kind: 'ca-file', path } })
    expect(await outcome(transit)).toBe('TRANSIT_TLS permanent')
    await copyFile(authority.certificatePath, path)
    expect(await outcome(transit)).toBe('opened')
  })
})

it('is reached by a key agreement that outlasts quantum computers, since a KEK goes over the wire', async () => {
  const context = secureContext({ kind: 'ca-file', path: authority.certificatePath }, undefined)
  const { port } = new URL(node.apiAddress)
  const socket = connect({ host: '127.0.0.1', port: Number(port), secureContext: context })
  const connected = Promise.withResolvers<undefined>()
  socket.once('error', connected.reject)
  socket.once('secureConnect', () => {
    connected.resolve(undefined)
  })
  await connected.promise
  expect(socket.getEphemeralKeyInfo()).toMatchObject({ name: 'X25519MLKEM768' })
  socket.destroy()
})

describe('a client certificate', () => {
  it('that is missing or not taken is told, and a renewed one is found with no restart', async () => {
    await using demanding = await startOpenBao({
      directory: folder.join('n2'),
      nodeId: 'n2',
      apiPort: await freePort(),
      clusterPort: await freePort(),
      tls: { ...certificate, caPath: authority.certificatePath, clientCaPath: authority.certificatePath },
      seal: { kind: 'shamir' },
      // The rig has no certificate to show, so it cannot see when the node listens.
      until: 'nothing',
    })
    const address = demanding.apiAddress
    const other = await certificateAuthority({ directory: folder.join('stranger') })
    const good = await authority.issue({ name: 'client', usage: 'client' })
    let issued = good
    const withCertificate = (): TransitAccess =>
      access({
        address,
        readClientCertificate: async () => ({
          certificatePem: await readFile(issued.certificatePath, 'utf8'),
          privateKeyPem: secretOf(await readFile(issued.privateKeyPath, 'utf8')),
        }),
      })
    await waitForOutcome(withCertificate(), 'TRANSIT_SEALED transient')
    expect(await outcome(access({ address }))).toBe('TRANSIT_CLIENT_CERTIFICATE permanent')
    issued = await other.issue({ name: 'client', usage: 'client' })
    const renewing = withCertificate()
    expect(await outcome(renewing)).toBe('TRANSIT_CLIENT_CERTIFICATE permanent')
    issued = good
    expect(await outcome(renewing)).toBe('TRANSIT_SEALED transient')
  })

  it('that cannot be used is told, without its key', async () => {
    const broken = { certificatePem: authority.certificatePem, privateKeyPem: secretOf('not-a-key') }
    const transit = access({ readClientCertificate: async () => await Promise.resolve(broken) })
    expect(await outcome(transit)).toBe('TRANSIT_TLS permanent')
  })
})

describe('a server that comes and goes', () => {
  it('is unreachable while it is stopped, and works with the same access afterwards', async () => {
    const transit = access()
    expect(await outcome(transit)).toBe('opened')
    await node.stop()
    expect(await outcome(transit)).toBe('TRANSIT_UNREACHABLE transient')
    await node.start({ until: 'active' })
    expect(await outcome(transit)).toBe('opened')
  })

  it('is found dead on a kept connection, and asked once more', async () => {
    const transit = access()
    expect(await outcome(transit)).toBe('opened')
    node.kill()
    await node.process().exited
    await node.start({ until: 'active' })
    expect(await outcome(transit)).toBe('opened')
  })

  it('says that it is sealed, also to who asks for its identity, until it is unsealed', async () => {
    const transit = access()
    await bao.ask('PUT', 'sys/seal')
    expect(await outcome(transit)).toBe('TRANSIT_SEALED transient')
    await expect(transit.clusterId(call)).rejects.toMatchObject({ code: 'TRANSIT_SEALED' })
    await node.restart({ until: 'active' })
    expect(await outcome(transit)).toBe('opened')
  })
})

describe('a server that hangs', () => {
  let hanging: Server
  let address: string

  beforeAll(async () => {
    hanging = createPlainServer(socket => {
      socket.on('error', () => socket.destroy())
      socket.resume()
    })
    const listening = Promise.withResolvers<number>()
    hanging.listen({ port: 0, host: '127.0.0.1' }, () => {
      listening.resolve((hanging.address() as AddressInfo).port)
    })
    address = `127.0.0.1:${await listening.promise}`
  })

  afterAll(async () => {
    await closeTransits()
    const closed = Promise.withResolvers<undefined>()
    hanging.close(() => {
      closed.resolve(undefined)
    })
    await closed.promise
  })

  const approle = {
    method: 'approle',
    readRoleId: reads('role'),
    readSecretId: reads('secret'),
  } as const

  /** As {@link access}, without TLS. */
  function plain(options: Partial<TransitOptions>): TransitAccess {
    const auth = { method: 'token', readToken: reads(token) } as const
    return transitOf(
      { ...node, apiAddress: `http://${address}`, caPath: undefined },
      { auth, timeoutMs: 300, ...options },
    )
  }

  it.each([
    ['with a token', {}],
    ['at the login', { auth: approle }],
    [
      'behind a file that cannot be read to its end',
      { auth: { method: 'token', readToken: async () => await new Promise<Secret>(() => undefined) } },
    ],
  ] as const)('is told as a timeout and not as a cancellation %s, after one deadline for all', async (_, options) => {
    const startedMs = performance.now()
    expect(await outcome(plain(options))).toBe('TRANSIT_TIMEOUT transient')
    expect(performance.now() - startedMs).toBeLessThan(2_000)
  })

  it('is told as a timeout during the handshake', async () => {
    const transit = access({ address: `https://${address}`, connectTimeoutMs: 100 })
    expect(await outcome(transit)).toBe('TRANSIT_TIMEOUT transient')
  })

  it('is left at once by a caller who is told to stop', async () => {
    const controller = new AbortController()
    const waiting = outcome(plain({ auth: approle, timeoutMs: 30_000 }), controller.signal)
    controller.abort()
    expect(await waiting).toBe('TRANSIT_CANCELLED transient')
  })
})
