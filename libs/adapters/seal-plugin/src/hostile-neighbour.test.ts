import { status } from '@grpc/grpc-js'
import { temporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { connect } from 'node:tls'
import { Wrapper } from './generated/pb/wrapper_pb.ts'
import { type ServedFolder, servedFolder } from './testing/served-folder.ts'
import {
  configured,
  failureOf,
  makeHostCertificate,
  requestLine,
  requestSession,
  writeRequest,
} from './testing/test-host.ts'

let folder: ServedFolder

beforeEach(async () => {
  folder = servedFolder(await temporaryFolder())
})

afterEach(async () => {
  await folder.close()
})

describe('a hostile neighbour', () => {
  it('cannot use the session of somebody else with a certificate of its own', async () => {
    await folder.serve()
    const session = await requestSession(folder.directory)
    const stranger = folder.connect({ ...session, client: await makeHostCertificate() })
    expect((await failureOf(stranger.call(Wrapper.method.setConfig, {}))).code).toBe(status.UNAVAILABLE)
    expect((await folder.eventOf('handshakeRefused')).sessionId).toBe(session.sessionId)
    expect(await configured(folder.connect(session))).not.toBe('')
  })

  it('is refused when it does not offer HTTP/2, even with the right certificate', async () => {
    await folder.serve()
    const { sessionId, client, socketPath, certificatePem } = await requestSession(folder.directory)
    const connection = connect({
      path: socketPath,
      servername: 'localhost',
      ca: certificatePem,
      cert: client.certificatePem,
      key: client.privateKeyPem,
    })
    connection.on('error', () => connection.destroy())
    await once(connection, 'close')
    expect((await folder.eventOf('handshakeRefused')).sessionId).toBe(sessionId)
  })

  it('is reported when it opens a second session beside a live one', async () => {
    await folder.serve()
    const first = await folder.openHost()
    first.openStdio()
    await folder.eventOf('hostConnected')
    const second = await folder.openHost()
    second.openStdio()
    const alert = await folder.eventOf('secondLiveSession')
    expect(alert).toMatchObject({ sessionId: second.sessionId, otherSessionIds: [first.sessionId] })
  })

  it('cannot keep an honest host out by junk, half requests and false certificates', async () => {
    const server = await folder.serve()
    const pipe = await open(`${folder.directory}/in`, 'w')
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
      const honest = await folder.openHost()
      expect(await configured(honest)).not.toBe('')
    }
    stop.abort()
    await flood
    await pipe.close()
    expect(server.sessions()).toHaveLength(5)
    const junk = folder.events.filter(event => event.kind === 'junkDropped')
    expect(junk.length).toBeGreaterThan(0)
    expect(junk.length).toBeLessThan(20)
  })

  it('cannot fill up the sessions with requests that nobody follows up', async () => {
    const server = await folder.serve({}, { limits: { maxSessions: 3 } })
    const live = await folder.openHost()
    live.openStdio()
    await folder.eventOf('hostConnected')
    const client = await makeHostCertificate()
    await writeRequest(folder.directory, Array.from({ length: 10 }, () => requestLine(randomUUID(), client)).join(''))
    await waitUntil(() => folder.events.filter(event => event.kind === 'sessionOpened').length === 11, {
      what: 'all of them',
      timeoutMs: 20_000,
    })
    expect(server.sessions()).toHaveLength(3)
    const honest = await folder.openHost()
    expect(await configured(honest)).not.toBe('')
    expect(server.sessions().find(session => session.live)?.sessionId).toBe(live.sessionId)
  })

  it('gets no session when all others have a live host', async () => {
    await folder.serve({}, { limits: { maxSessions: 1 } })
    const live = await folder.openHost()
    live.openStdio()
    await folder.eventOf('hostConnected')
    const sessionId = randomUUID()
    await writeRequest(folder.directory, requestLine(sessionId, await makeHostCertificate()))
    expect(await folder.eventOf('requestRefused')).toMatchObject({
      sessionId,
      cause: { code: 'SEAL_PLUGIN_REQUEST_INVALID' },
    })
    expect(await configured(live)).not.toBe('')
  })
})
