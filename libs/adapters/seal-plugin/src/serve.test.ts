import { status } from '@grpc/grpc-js'
import { type TemporaryFolder, temporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { connect } from 'node:tls'
import { type SealPluginErrorCode } from './errors.ts'
import { type SealPluginEvent } from './events.ts'
import { GRPCController } from './generated/plugin/controller_pb.ts'
import { Wrapper } from './generated/pb/wrapper_pb.ts'
import { type SealService, SealServiceRefusal } from './seal-service.ts'
import { type SealPluginOptions, type SealPluginServer, serveSealPlugin } from './serve.ts'
import { memorySeal } from './testing/memory-seal.ts'
import {
  type TestHost,
  connectHost,
  makeHostCertificate,
  openHost,
  readHandshake,
  requestLine,
  writeRequest,
} from './testing/test-host.ts'

let folder: TemporaryFolder
let directory: string
let events: SealPluginEvent[]
let servers: SealPluginServer[]
let hosts: TestHost[]

beforeEach(async () => {
  folder = await temporaryFolder()
  directory = folder.join('seal')
  events = []
  servers = []
  hosts = []
})

afterEach(async () => {
  for (const host of hosts) host.close()
  await Promise.all(servers.map(server => server.close()))
  await folder.remove()
})

async function serve(
  overrides: Partial<SealService> = {},
  options: Partial<SealPluginOptions> = {},
): Promise<SealPluginServer> {
  const server = await serveSealPlugin({
    directory,
    service: memorySeal(randomBytes(32), overrides),
    onEvent: event => events.push(event),
    now: Date.now,
    randomUuid: randomUUID,
    signal: new AbortController().signal,
    ...options,
  })
  servers.push(server)
  return server
}

async function host(): ReturnType<typeof openHost> {
  const opened = await openHost(directory)
  hosts.push(opened)
  return opened
}

async function configured(on: TestHost): Promise<string> {
  return (await on.call(Wrapper.method.setConfig, {})).wrapperId
}

function eventOf<K extends SealPluginEvent['kind']>(
  kind: K,
  matches: (event: SealPluginEvent & { kind: K }) => boolean = () => true,
): Promise<SealPluginEvent & { kind: K }> {
  const isIt = (event: SealPluginEvent): event is SealPluginEvent & { kind: K } => event.kind === kind
  return waitUntil(() => events.filter(isIt).find(matches), { what: `event ${kind}`, timeoutMs: 20_000 })
}

/** Folder entries of sessions: sockets, and reply pipes with the spare ones. */
function leftovers(): readonly string[] {
  return [...readdirSync(`${directory}/s`), ...readdirSync(`${directory}/out`)]
}

async function failureOf(call: Promise<unknown>): Promise<{ code: unknown; text: string }> {
  try {
    await call
    return { code: 'answered', text: '' }
  } catch (error) {
    const { code, details } = error as { code: unknown; details?: string }
    return { code, text: details ?? String(error) }
  }
}

describe('serveSealPlugin', () => {
  it('answers all calls of a host', async () => {
    await serve()
    const one = await host()
    const wrapperId = await configured(one)
    expect((await one.call(Wrapper.method.type, { wrapperId })).type).toBe('memory')
    await one.call(Wrapper.method.init, { wrapperId })
    const { blob } = await one.call(Wrapper.method.encrypt, { wrapperId, plaintext: Buffer.from('secret') })
    expect(blob?.keyInfo?.keyId).toBe((await one.call(Wrapper.method.keyId, { wrapperId })).keyId)
    const opened = await one.call(Wrapper.method.decrypt, { wrapperId, ...(blob && { blob }) })
    expect(Buffer.from(opened.plaintext).toString()).toBe('secret')
    await one.call(Wrapper.method.finalize, { wrapperId })
    expect((await failureOf(one.call(Wrapper.method.type, { wrapperId }))).code).toBe(status.NOT_FOUND)
    const methods = events.flatMap(event => (event.kind === 'called' ? [event.method] : []))
    expect(methods).toEqual(['SetConfig', 'Type', 'Init', 'Encrypt', 'KeyId', 'Decrypt', 'Finalize', 'Type'])
  })

  it('carries a wrapped key of a hundred kilobytes, and wipes the opened plaintext behind the answer', async () => {
    const wrappedKey = randomBytes(100_000)
    const plaintext = Buffer.from('barrier key')
    await serve({
      encrypt: () => ({
        ciphertext: Buffer.of(1),
        iv: Buffer.of(2),
        keyId: 'k1',
        wrappedKey,
        mechanism: 2n ** 64n - 1n,
      }),
      decrypt: blob => Promise.resolve(Buffer.from(blob.wrappedKey).equals(wrappedKey) ? plaintext : Buffer.of()),
    })
    const one = await host()
    const wrapperId = await configured(one)
    const { blob } = await one.call(Wrapper.method.encrypt, { wrapperId })
    expect(blob?.keyInfo?.mechanism).toBe(2n ** 64n - 1n)
    const opened = await one.call(Wrapper.method.decrypt, { wrapperId, ...(blob && { blob }) })
    expect(Buffer.from(opened.plaintext).toString()).toBe('barrier key')
    expect(plaintext.every(byte => byte === 0)).toBe(true)
  })

  it('refuses a message over the limit', async () => {
    await serve({}, { limits: { maxMessageBytes: 4096 } })
    const one = await host()
    const wrapperId = await configured(one)
    const call = one.call(Wrapper.method.encrypt, { wrapperId, plaintext: Buffer.alloc(5000) })
    expect((await failureOf(call)).code).toBe(status.RESOURCE_EXHAUSTED)
    expect((await one.call(Wrapper.method.type, { wrapperId })).type).toBe('memory')
  })

  it('lets no internals out of Encrypt, and only words meant for the server log out of Decrypt and SetConfig', async () => {
    const cause = new Error('open /dev/tpmrm0: EACCES')
    const refusal = new SealServiceRefusal('SEAL_WAITING', 'enter shares', { cause })
    await serve({
      configure: options => {
        if (options.size > 0) throw new SealServiceRefusal('OPTION_UNKNOWN', 'unknown option "x"', { cause })
        return { metadata: {} }
      },
      encrypt: () => {
        throw cause
      },
      keyId: () => {
        throw refusal
      },
      decrypt: () => Promise.reject(refusal),
    })
    const one = await host()
    const wrapperId = await configured(one)
    const fixed = 'SEAL_PLUGIN_SERVICE_FAILED: the seal agent could not answer, its own log says why'
    const blob = { keyInfo: {} }
    expect(await failureOf(one.call(Wrapper.method.encrypt, { wrapperId }))).toEqual({
      code: status.UNKNOWN,
      text: fixed,
    })
    expect(await failureOf(one.call(Wrapper.method.keyId, { wrapperId }))).toEqual({
      code: status.UNKNOWN,
      text: fixed,
    })
    const decrypted = await failureOf(one.call(Wrapper.method.decrypt, { wrapperId, blob }))
    expect(decrypted).toEqual({ code: status.UNKNOWN, text: 'SEAL_WAITING: enter shares' })
    const configuredAgain = await failureOf(one.call(Wrapper.method.setConfig, { options: { config: { x: '1' } } }))
    expect(configuredAgain.text).toBe('OPTION_UNKNOWN: unknown option "x"')
    const seen = await eventOf('called', event => event.method === 'Encrypt')
    expect(seen.failure).toEqual({ code: 'SEAL_PLUGIN_SERVICE_FAILED', cause })
  })

  it('tells the service when the host of a Decrypt is gone', async () => {
    const asked = Promise.withResolvers<undefined>()
    const aborted = Promise.withResolvers<undefined>()
    await serve({
      decrypt: (_blob, _aad, signal) =>
        new Promise((_resolve, reject) => {
          asked.resolve(undefined)
          signal.addEventListener('abort', () => {
            aborted.resolve(undefined)
            reject(new Error('cancelled'))
          })
        }),
    })
    const one = await host()
    const cancel = one.openStdio()
    const wrapperId = await configured(one)
    const call = failureOf(one.call(Wrapper.method.decrypt, { wrapperId, blob: { keyInfo: {} } }))
    await asked.promise
    cancel()
    await aborted.promise
    expect((await call).code).not.toBe('answered')
  })
})

describe('the end of a session', () => {
  it('comes with Shutdown, which is answered', async () => {
    const server = await serve()
    const one = await host()
    one.openStdio()
    await eventOf('hostConnected')
    await one.call(GRPCController.method.shutdown, {})
    expect((await eventOf('sessionEnded')).reason).toBe('shutdown')
    expect(server.sessions()).toEqual([])
    expect(existsSync(one.socketPath)).toBe(false)
  })

  it('comes when the host cancels its stdio stream', async () => {
    await serve()
    const one = await host()
    const cancel = one.openStdio()
    await eventOf('hostConnected')
    cancel()
    expect((await eventOf('sessionEnded')).reason).toBe('hostLost')
    expect(existsSync(one.socketPath)).toBe(false)
  })

  it('comes when no host does, and frees socket and pipe', async () => {
    await serve({}, { limits: { hostTimeoutMs: 50, spareKits: 0 } })
    const one = await host()
    expect((await eventOf('sessionEnded')).reason).toBe('hostAbsent')
    expect(existsSync(one.socketPath)).toBe(false)
    expect(leftovers()).toEqual([])
  })

  it('comes with the end of the agent, which leaves only the request pipe', async () => {
    const server = await serve()
    const one = await host()
    one.openStdio()
    await eventOf('hostConnected')
    await server.close()
    expect((await eventOf('sessionEnded')).reason).toBe('agentClosed')
    expect(leftovers()).toEqual([])
    expect(readdirSync(directory).sort()).toEqual(['in', 'out', 's'])
  })

  it('comes with the abort of the signal', async () => {
    const stop = new AbortController()
    await serve({}, { signal: stop.signal })
    await host()
    stop.abort()
    expect((await eventOf('sessionEnded')).reason).toBe('agentClosed')
  })
})

describe('a hostile neighbour', () => {
  it('cannot use the session of somebody else with a certificate of its own', async () => {
    await serve()
    const client = await makeHostCertificate()
    const sessionId = randomUUID()
    await writeRequest(directory, requestLine(sessionId, client))
    const { socketPath, certificatePem } = await readHandshake(directory, sessionId)
    const stranger = connectHost({
      socketPath,
      serverCertificatePem: certificatePem,
      client: await makeHostCertificate(),
    })
    hosts.push(stranger)
    expect((await failureOf(stranger.call(Wrapper.method.setConfig, {}))).code).toBe(status.UNAVAILABLE)
    expect((await eventOf('handshakeRefused')).sessionId).toBe(sessionId)
    const rightful = connectHost({ socketPath, serverCertificatePem: certificatePem, client })
    hosts.push(rightful)
    expect(await configured(rightful)).not.toBe('')
  })

  it('is refused when it does not offer HTTP/2, even with the right certificate', async () => {
    await serve()
    const client = await makeHostCertificate()
    const sessionId = randomUUID()
    await writeRequest(directory, requestLine(sessionId, client))
    const { socketPath, certificatePem } = await readHandshake(directory, sessionId)
    const connection = connect({
      path: socketPath,
      servername: 'localhost',
      ca: certificatePem,
      cert: client.certificatePem,
      key: client.privateKeyPem,
    })
    connection.on('error', () => connection.destroy())
    await once(connection, 'close')
    expect((await eventOf('handshakeRefused')).sessionId).toBe(sessionId)
  })

  it('is reported when it opens a second session beside a live one', async () => {
    await serve()
    const first = await host()
    first.openStdio()
    await eventOf('hostConnected')
    const second = await host()
    second.openStdio()
    const alert = await eventOf('secondLiveSession')
    expect(alert).toMatchObject({ sessionId: second.sessionId, otherSessionIds: [first.sessionId] })
  })

  it('cannot keep an honest host out by junk, half requests and false certificates', async () => {
    const server = await serve()
    const pipe = await open(`${directory}/in`, 'w')
    const stop = new AbortController()
    const half = `sealwright-connector-1 ${randomUUID()} `
    const wrong = `sealwright-connector-1 ${randomUUID()} ${randomBytes(600).toString('base64')}\n`
    const flood = (async () => {
      while (!stop.signal.aborted) {
        await pipe.write(randomBytes(4000))
        await pipe.write(half)
        await pipe.write(wrong)
      }
    })()
    for (let round = 0; round < 5; round++) {
      const honest = await host()
      expect(await configured(honest)).not.toBe('')
    }
    stop.abort()
    await flood
    await pipe.close()
    expect(server.sessions()).toHaveLength(5)
    const junk = events.filter(event => event.kind === 'junkDropped')
    expect(junk.length).toBeGreaterThan(0)
    expect(junk.length).toBeLessThan(20)
  })

  it('cannot fill up the sessions with requests that nobody follows up', async () => {
    const server = await serve({}, { limits: { maxSessions: 3 } })
    const live = await host()
    live.openStdio()
    await eventOf('hostConnected')
    const client = await makeHostCertificate()
    await writeRequest(directory, Array.from({ length: 10 }, () => requestLine(randomUUID(), client)).join(''))
    await waitUntil(() => events.filter(event => event.kind === 'sessionOpened').length === 11, {
      what: 'all of them',
      timeoutMs: 20_000,
    })
    expect(server.sessions()).toHaveLength(3)
    const honest = await host()
    expect(await configured(honest)).not.toBe('')
    expect(server.sessions().find(session => session.live)?.sessionId).toBe(live.sessionId)
  })

  it('gets no session when all others have a live host', async () => {
    await serve({}, { limits: { maxSessions: 1 } })
    const live = await host()
    live.openStdio()
    await eventOf('hostConnected')
    const sessionId = randomUUID()
    await writeRequest(directory, requestLine(sessionId, await makeHostCertificate()))
    expect(await eventOf('requestRefused')).toMatchObject({ sessionId, cause: { code: 'SEAL_PLUGIN_REQUEST_INVALID' } })
    expect(await configured(live)).not.toBe('')
  })
})

describe('two agents in one folder', () => {
  it('the second is refused, and the first serves on', async () => {
    await serve()
    const second = await failureOf(serve())
    expect(second.code).toBe('SEAL_PLUGIN_DIRECTORY_IN_USE')
    expect(await configured(await host())).not.toBe('')
  })

  it('one after the other is fine', async () => {
    await (await serve()).close()
    await serve()
    expect(await configured(await host())).not.toBe('')
  })

  it('a closed one never starts', async () => {
    const closed = await failureOf(serve({}, { signal: AbortSignal.abort() }))
    expect(closed).toMatchObject({ code: 'SEAL_PLUGIN_CLOSED' satisfies SealPluginErrorCode })
  })
})
