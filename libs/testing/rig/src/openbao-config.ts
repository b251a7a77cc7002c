import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RigError } from './error.ts'

/** How a node's barrier is opened. */
export type OpenBaoSeal =
  | { readonly kind: 'shamir' }
  | {
      readonly kind: 'static'
      /** Absolute path of the key: exactly 32 raw bytes, or 64 hex digits, or base64; no newline. */
      readonly keyFile: string
      readonly keyId?: string
      readonly previous?: { readonly keyFile: string; readonly keyId: string }
    }
  | {
      readonly kind: 'transit'
      /** API address of the OpenBao that has the key. */
      readonly address: string
      readonly token: string
      readonly keyName: string
      /** `transit` when left out. */
      readonly mountPath?: string
      /** Authority of its certificate, where it has TLS. */
      readonly caPath?: string
    }
  | {
      readonly kind: 'sealwright'
      /** Absolute, without symbolic links. */
      readonly pluginDirectory: string
      /** File name inside the plugin directory. */
      readonly command: string
      /** Hex. The file's own sum when left out; given only to prove that a wrong one is refused. */
      readonly sha256?: string
      readonly args: readonly string[]
      /** Name of the `plugin` and `seal` stanzas. */
      readonly name?: string
      /** Options of the `seal` stanza. */
      readonly options?: Readonly<Record<string, string>>
    }

export interface OpenBaoTls {
  readonly certificatePath: string
  readonly privateKeyPath: string
  /** Authority that issued the certificate; also what this node checks others against when it joins them. */
  readonly caPath: string
  /** When given, clients must show a certificate of this authority. */
  readonly clientCaPath?: string
}

export interface OpenBaoSettings {
  /** Folder of this node alone: configuration, data and log go there. */
  readonly directory: string
  readonly nodeId: string
  readonly apiPort: number
  readonly clusterPort: number
  /** Left out: plain HTTP. */
  readonly tls?: OpenBaoTls
  readonly seal: OpenBaoSeal
  /** The seal that the data leaves in a migration: its stanza stands beside the other one, disabled. */
  readonly leaving?: OpenBaoSeal | undefined
  /** API addresses of nodes to join by `retry_join`. The own address among them does no harm. */
  readonly retryJoin?: readonly string[]
  /** Raft timing: 1 is fastest; the server's own default is 5. */
  readonly performanceMultiplier?: number
  readonly logLevel?: 'trace' | 'debug' | 'info' | 'warn' | 'error'
  /** Put verbatim at the end of the configuration. */
  readonly extraHcl?: string
}

/** Address of a node's API. */
export function apiAddressOf(settings: OpenBaoSettings): string {
  return `${settings.tls === undefined ? 'http' : 'https'}://127.0.0.1:${settings.apiPort}`
}

/** Folder of a node's raft storage. */
export function dataDirectoryOf(settings: OpenBaoSettings): string {
  return join(settings.directory, 'data')
}

/** The server's configuration file as text. */
export function openBaoHcl(settings: OpenBaoSettings): string {
  const { nodeId, apiPort, clusterPort, performanceMultiplier = 1 } = settings
  const storage = [
    attribute('path', dataDirectoryOf(settings)),
    attribute('node_id', nodeId),
    `performance_multiplier = ${performanceMultiplier}`,
    ...(settings.retryJoin ?? []).flatMap(address => retryJoinStanza(address, settings.tls)),
  ]
  const listener = [
    attribute('address', `127.0.0.1:${apiPort}`),
    attribute('cluster_address', `127.0.0.1:${clusterPort}`),
    ...listenerTls(settings.tls),
  ]
  const lines = [
    attribute('api_addr', apiAddressOf(settings)),
    // The protocol between nodes is always TLS, with certificates of the server's own making.
    attribute('cluster_addr', `https://127.0.0.1:${clusterPort}`),
    attribute('log_level', settings.logLevel ?? 'info'),
    ...stanza('storage "raft"', storage),
    ...stanza('listener "tcp"', listener),
    ...sealStanzas(settings.seal),
    ...(settings.leaving === undefined ? [] : sealStanzas(settings.leaving, { isDisabled: true })),
    settings.extraHcl ?? '',
  ]
  return `${lines.join('\n').trimEnd()}\n`
}

function retryJoinStanza(address: string, tls: OpenBaoTls | undefined): readonly string[] {
  const trust = tls === undefined ? [] : [attribute('leader_ca_cert_file', tls.caPath)]
  return stanza('retry_join', [attribute('leader_api_addr', address), ...trust])
}

function listenerTls(tls: OpenBaoTls | undefined): readonly string[] {
  if (tls === undefined) return ['tls_disable = true']
  const files = [attribute('tls_cert_file', tls.certificatePath), attribute('tls_key_file', tls.privateKeyPath)]
  if (tls.clientCaPath === undefined) return files
  return [...files, 'tls_require_and_verify_client_cert = true', attribute('tls_client_ca_file', tls.clientCaPath)]
}

function sealStanzas(seal: OpenBaoSeal, { isDisabled = false } = {}): readonly string[] {
  const disabled = isDisabled ? [attribute('disabled', 'true')] : []
  switch (seal.kind) {
    case 'shamir':
      return []
    case 'static': {
      const { keyFile, keyId = 'static-1', previous } = seal
      const current = [attribute('current_key_id', keyId), attribute('current_key', `file://${keyFile}`)]
      if (previous === undefined) return stanza('seal "static"', [...current, ...disabled])
      const old = [
        attribute('previous_key_id', previous.keyId),
        attribute('previous_key', `file://${previous.keyFile}`),
      ]
      return stanza('seal "static"', [...current, ...old, ...disabled])
    }
    case 'transit': {
      const { address, token, keyName, mountPath = 'transit', caPath } = seal
      return stanza('seal "transit"', [
        attribute('address', address),
        attribute('token', token),
        attribute('key_name', keyName),
        attribute('mount_path', mountPath),
        ...(caPath === undefined ? [] : [attribute('tls_ca_cert', caPath)]),
        ...disabled,
      ])
    }
    case 'sealwright': {
      const { name = 'sealwright', pluginDirectory, command, args, options = {} } = seal
      const sha256 = seal.sha256 ?? sha256OfFile(join(pluginDirectory, command))
      const plugin = [
        attribute('command', command),
        attribute('sha256sum', sha256),
        `args = [${args.map(quote).join(', ')}]`,
      ]
      return [
        attribute('plugin_directory', pluginDirectory),
        ...stanza(`plugin "kms" ${quote(name)}`, plugin),
        ...stanza(`seal ${quote(name)}`, [
          ...Object.entries(options).map(([key, value]) => attribute(key, value)),
          ...disabled,
        ]),
      ]
    }
  }
}

function sha256OfFile(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

function stanza(head: string, body: readonly string[]): readonly string[] {
  return [`${head} {`, ...body.map(line => `  ${line}`), '}']
}

function attribute(name: string, value: string): string {
  return `${name} = ${quote(value)}`
}

/** HCL strings know escapes and `${…}`; nothing that we write needs either. */
function quote(value: string): string {
  if (/["\\$%]|\p{Cc}/u.test(value)) {
    throw new RigError('RIG_INVALID', `${JSON.stringify(value)} cannot stand in a configuration file`)
  }
  return `"${value}"`
}
