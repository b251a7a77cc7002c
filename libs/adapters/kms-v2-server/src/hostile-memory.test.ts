import {
  startProcess,
  type StartedProcess,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import { existsSync, readFileSync } from 'node:fs'
import { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { join } from 'node:path'
import { KeyManagementService } from './generated/v2/api_pb.ts'
import { FRAME_HEADER_BYTES } from './grpc-unary/frame.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { kmsClient } from './testing/kms-client.ts'
import { openCall, rawSession } from './testing/raw-call.ts'

const DECRYPT = '/v2.KeyManagementService/Decrypt'
const CONNECTIONS = 12
/** All but the last byte of as long a message as is taken. */
const BODY = Buffer.alloc(FRAME_HEADER_BYTES + DEFAULT_LIMITS.maxMessageBytes - 1)
BODY.writeUInt32BE(DEFAULT_LIMITS.maxMessageBytes, 1)
/** What the calls may take, what Node has read and not yet freed, and what the C library keeps. */
const MAX_GROWTH_BYTES = 160_000_000
const KIB = 1024
const WAIT_MS = 20_000

let folder: TemporaryFolder
let sessions: ClientHttp2Session[]

beforeEach(async () => {
  folder = await temporaryFolder()
  sessions = []
})

afterEach(async () => {
  for (const session of sessions) session.destroy()
  await folder.remove()
})

const source = `
  import { serveKmsV2 } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
  import { memoryProvider } from ${JSON.stringify(join(import.meta.dirname, 'testing/memory-provider.ts'))}
  import { listenOnUnixSocket } from '@sealwright/unix-socket'

  const server = await serveKmsV2({
    service: memoryProvider(),
    path: process.argv[1],
    listen: listenOnUnixSocket,
    now: () => performance.now(),
    onFailure: failure => console.log(failure.kind, failure.fault),
  })
  process.on('SIGTERM', () => server.close())
`

/** The most memory that it has ever taken. */
function peakBytes({ pid }: StartedProcess): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kibibytes) * KIB
}

/** Opens as many calls as it may, and sends all of each but its last byte. Resolves when all is sent, refused or cut off. */
async function hoard(path: string): Promise<void> {
  const session = rawSession(path)
  sessions.push(session)
  session.on('error', () => undefined)
  const unsent = new Set<ClientHttp2Stream>()
  for (let call = 0; call < DEFAULT_LIMITS.maxConcurrentCalls; call += 1) {
    const stream = openCall(session, { path: DECRYPT })
    unsent.add(stream)
    stream.write(BODY, () => unsent.delete(stream))
  }
  // No 'close' comes of a stream that is refused while it waits to be sent.
  const isOver = () => session.destroyed || [...unsent].every(stream => stream.closed)
  await waitUntil(isOver, { what: 'all to be sent, or not to be wanted', timeoutMs: WAIT_MS })
}

describe('the memory of a server', () => {
  it('stays bounded while its clients send all that they may of messages that never end, and it serves on', async () => {
    const path = folder.join('kms.sock')
    await using server = await startProcess({
      name: 'server',
      command: process.execPath,
      args: ['--input-type=module', '--eval', source, '--', path],
      logDirectory: folder.path,
      workingDirectory: import.meta.dirname,
    })
    await server.waitFor(() => existsSync(path), { what: 'its socket', timeoutMs: WAIT_MS })
    using client = kmsClient(path)
    const askStatus = () => client.call(KeyManagementService.method.status, {}, { timeoutMs: 10_000 })
    await askStatus()
    const before = peakBytes(server)
    await Promise.all(Array.from({ length: CONNECTIONS }, () => hoard(path)))
    expect(CONNECTIONS * DEFAULT_LIMITS.maxConcurrentCalls * BODY.length).toBeGreaterThan(2 * MAX_GROWTH_BYTES)
    expect(peakBytes(server) - before).toBeLessThan(MAX_GROWTH_BYTES)
    await server.waitFor(
      () =>
        askStatus().then(
          () => true,
          () => false,
        ),
      { what: 'a call to be answered', timeoutMs: WAIT_MS },
    )
  })
})
