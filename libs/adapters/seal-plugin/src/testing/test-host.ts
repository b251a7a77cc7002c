import { id_kp_clientAuth } from '@peculiar/asn1-x509'
import { Client, credentials, type ServiceError } from '@grpc/grpc-js'
import {
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  create,
  fromBinary,
  toBinary,
} from '@bufbuild/protobuf'
import { randomBytes, randomUUID } from 'node:crypto'
import { open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasErrorCode } from '@sealwright/system-error'
import { Wrapper } from '../generated/pb/wrapper_pb.ts'
import { type SelfSignedCertificate, makeSelfSignedCertificate } from '../self-signed-certificate.ts'

const HOUR_MS = 3_600_000
const REPLY_TIMEOUT_MS = 20_000
const REPLY_INTERVAL_MS = 2

/** A certificate as OpenBao makes it for each plugin start. */
export function makeHostCertificate(): Promise<SelfSignedCertificate> {
  return makeSelfSignedCertificate({
    curve: 'P-521',
    purpose: id_kp_clientAuth,
    notBeforeMs: Date.now() - HOUR_MS,
    notAfterMs: Date.now() + HOUR_MS,
    serial: randomBytes(16),
  })
}

/** What a connector writes. */
export function requestLine(sessionId: string, certificate: SelfSignedCertificate): string {
  return `sealwright-connector-1 ${sessionId} ${certificate.certificateDer.toString('base64')}\n`
}

/** Writes to the request pipe of an agent, as any member of the group can. */
export async function writeRequest(directory: string, bytes: string | Buffer): Promise<void> {
  const pipe = await open(join(directory, 'in'), 'w')
  try {
    await pipe.writeFile(bytes)
  } finally {
    await pipe.close()
  }
}

/** Where an agent lets a host in. */
export interface Handshake {
  readonly socketPath: string
  readonly certificatePem: string
}

/** Waits for the answer to a request, and reads its line. The pipe itself is left to the agent. */
export async function readHandshake(directory: string, sessionId: string): Promise<Handshake> {
  const path = join(directory, 'out', sessionId)
  const deadlineMs = Date.now() + REPLY_TIMEOUT_MS
  while (!(await isPipe(path))) {
    if (Date.now() > deadlineMs) throw new Error(`no reply pipe for ${sessionId} in ${REPLY_TIMEOUT_MS} ms`)
    await sleep(REPLY_INTERVAL_MS)
  }
  const pipe = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await pipe.read(Buffer.alloc(4096))
    const fields = buffer.toString('utf8', 0, bytesRead).trimEnd().split('|')
    const [core, app, network, socketPath = '', protocol, certificate = ''] = fields
    expect([core, app, network, protocol]).toEqual(['1', '1', 'unix', 'grpc'])
    return { socketPath, certificatePem: pemOfHandshake(certificate) }
  } finally {
    await pipe.close()
  }
}

async function isPipe(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFIFO()
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return false
    throw error
  }
}

/** What a request was answered with, and what it was asked for with. */
export interface SessionAnswer extends Handshake {
  readonly sessionId: string
  readonly client: SelfSignedCertificate
}

/** Asks the agent in `directory` for a session, with a certificate of its own. */
export async function requestSession(directory: string): Promise<SessionAnswer> {
  const client = await makeHostCertificate()
  const sessionId = randomUUID()
  await writeRequest(directory, requestLine(sessionId, client))
  return { sessionId, client, ...(await readHandshake(directory, sessionId)) }
}

/** The certificate of a handshake line as PEM, with the padding that go-plugin leaves out. */
export function pemOfHandshake(certificate: string): string {
  const padded = certificate + '='.repeat((4 - (certificate.length % 4)) % 4)
  return `-----BEGIN CERTIFICATE-----\n${padded.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
}

/** A gRPC client in the place of OpenBao. */
export interface TestHost {
  readonly socketPath: string
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>>
  /** Opens the stream that OpenBao keeps open for its whole life; returns how to end it. */
  openStdio(): () => void
  close(): void
}

/** Connects to the socket of a session. */
export function connectHost({
  socketPath,
  certificatePem,
  client,
}: Handshake & { readonly client: SelfSignedCertificate }): TestHost {
  const grpc = new Client(
    `unix:${socketPath}`,
    credentials.createSsl(
      Buffer.from(certificatePem),
      Buffer.from(client.privateKeyPem),
      Buffer.from(client.certificatePem),
    ),
    { 'grpc.ssl_target_name_override': 'localhost', 'grpc.default_authority': 'localhost' },
  )
  return {
    socketPath,
    call(method, request) {
      return new Promise((resolve, reject) => {
        grpc.makeUnaryRequest(
          `/${method.parent.typeName}/${method.name}`,
          (message: MessageInitShape<typeof method.input>) =>
            Buffer.from(toBinary(method.input, create(method.input, message))),
          bytes => fromBinary(method.output, bytes),
          request,
          (error: ServiceError | null, response) => {
            if (error) reject(error)
            else if (response === undefined) reject(new Error('neither error nor response'))
            else resolve(response)
          },
        )
      })
    },
    openStdio() {
      const stream = grpc.makeServerStreamRequest(
        '/plugin.GRPCStdio/StreamStdio',
        () => Buffer.alloc(0),
        bytes => bytes,
        {},
      )
      // Its end is what a test looks at on the agent's side.
      stream.on('error', () => stream.destroy())
      return () => {
        stream.cancel()
      }
    },
    close() {
      grpc.close()
    },
  }
}

/** An instance of the wrapper, configured without options. Returns its id. */
export async function configured(host: TestHost): Promise<string> {
  return (await host.call(Wrapper.method.setConfig, {})).wrapperId
}

/** How a call or a start failed: its code and its words; code `answered` if it did not. */
export async function failureOf(call: Promise<unknown>): Promise<{ readonly code: unknown; readonly text: string }> {
  try {
    await call
    return { code: 'answered', text: '' }
  } catch (error) {
    const { code, details } = error as { code: unknown; details?: string }
    return { code, text: details ?? String(error) }
  }
}

/** One of the files under `vectors/seal-plugin`. */
export async function readVectors(name: string): Promise<unknown> {
  return JSON.parse(await readFile(join(import.meta.dirname, '../../../../../vectors/seal-plugin', name), 'utf8'))
}
