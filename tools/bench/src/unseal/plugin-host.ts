import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client, credentials, type ServiceError } from '@grpc/grpc-js'
import { loadSync, type MethodDefinition } from '@grpc/proto-loader'
import { CONNECTOR_NAME, type SealedNode } from '@sealwright/testing-cluster'
import { repositoryRoot, startProcess, type StartedProcess } from '@sealwright/testing-rig'
import { type HostCertificate, makeHostCertificate } from './host-certificate.ts'

const HANDSHAKE_TIMEOUT_MS = 30_000

/** A gRPC client in the place of OpenBao: one connection with mutual TLS to an agent. Disposing of it ends the session. */
export interface PluginHost extends AsyncDisposable {
  /** One call of `Encrypt`. */
  encrypt(plaintext: Uint8Array): Promise<object>
}

/** Starts the connector as OpenBao does, connects where the agent says, and makes a seal instance. */
export async function connectPluginHost(node: SealedNode): Promise<PluginHost> {
  await using made = new AsyncDisposableStack()
  const certificate = await makeHostCertificate()
  const connector = made.use(await startConnector(node, certificate))
  const client = connect(await readHandshake(connector), certificate)
  made.defer(() => {
    client.close()
  })
  const stdio = method('plugin/stdio', 'plugin.GRPCStdio', 'StreamStdio')
  // Open for as long as OpenBao lives: the agent knows its host by it.
  const stream = client.makeServerStreamRequest(stdio.path, stdio.requestSerialize, stdio.responseDeserialize, {})
  stream.on('error', () => stream.destroy())
  made.defer(() => {
    stream.cancel()
  })
  const configured = await call(client, method('pb/wrapper', 'pb.Wrapper', 'SetConfig'), {})
  if (!('wrapperId' in configured)) throw new Error('the agent named no seal instance')
  const { wrapperId } = configured
  const encrypt = method('pb/wrapper', 'pb.Wrapper', 'Encrypt')
  const resources = made.move()
  return {
    encrypt: plaintext => call(client, encrypt, { wrapperId, plaintext }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function startConnector(node: SealedNode, { certificatePem }: HostCertificate): Promise<StartedProcess> {
  return await startProcess({
    name: 'connector',
    command: join(node.pluginDirectory, CONNECTOR_NAME),
    args: [node.ipcDirectory],
    logDirectory: node.directory,
    environment: { OPENBAO_KMS_PLUGIN: 'sealwright', PLUGIN_CLIENT_CERT: certificatePem },
    // It ends with its host, and takes no notice of SIGTERM.
    stopTimeoutMs: 0,
  })
}

/** Where the agent serves this host, and the certificate that it shows there. */
interface Handshake {
  readonly socketPath: string
  readonly certificatePem: string
}

async function readHandshake(connector: StartedProcess): Promise<Handshake> {
  const [, socketPath, certificate] = await connector.waitFor(
    () => /^1\|1\|unix\|([^|]+)\|grpc\|([^|\s]+)$/m.exec(readFileSync(connector.logPath, 'utf8')),
    { what: 'the handshake line of the agent', timeoutMs: HANDSHAKE_TIMEOUT_MS },
  )
  if (socketPath === undefined || certificate === undefined) throw new TypeError('a match has its groups')
  // go-plugin leaves the padding out.
  const base64 = Buffer.from(certificate, 'base64').toString('base64').replace(/.{64}/g, '$&\n')
  return { socketPath, certificatePem: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n` }
}

function connect({ socketPath, certificatePem }: Handshake, own: HostCertificate): Client {
  const ours = [Buffer.from(own.privateKeyPem), Buffer.from(own.certificatePem)] as const
  return new Client(`unix:${socketPath}`, credentials.createSsl(Buffer.from(certificatePem), ...ours), {
    'grpc.ssl_target_name_override': 'localhost',
    'grpc.default_authority': 'localhost',
  })
}

type Method = MethodDefinition<object, object>

/** One method, as the repository's own protocol files describe it. */
function method(file: string, service: string, name: string): Method {
  const definition = loadSync(join(repositoryRoot(), 'proto', `${file}.proto`))[service]
  const found: unknown = definition === undefined || 'format' in definition ? undefined : definition[name]
  if (isMethod(found)) return found
  throw new Error(`proto/${file}.proto describes no ${service}/${name}`)
}

function isMethod(value: unknown): value is Method {
  return typeof value === 'object' && value !== null && 'path' in value
}

function call(
  client: Client,
  { path, requestSerialize, responseDeserialize }: Method,
  request: object,
): Promise<object> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      (error: ServiceError | null, response?: object) => {
        if (error !== null) reject(error)
        else if (response === undefined) reject(new Error(`${path} gave neither an error nor an answer`))
        else resolve(response)
      },
    )
  })
}
