import { readFile } from 'node:fs/promises'
import { type EtcdOptions, openEtcd } from '@sealwright/etcd'
import {
  encodeRotationVerification,
  parseRotationVerification,
  type RotationVerification,
} from '@sealwright/kms-backends'
import { readSecretFile } from '@sealwright/program'
import { type KmsConfig } from '@sealwright/kms-config'
import { errorCodeOf } from '@sealwright/system-error'
import { type CommandResult } from '../../command.ts'
import { type CommandContext, write } from '../../context.ts'
import { SealctlError } from '../../errors.ts'
import { EXIT_CODES } from '../../exit-codes.ts'
import { openNewFile } from '../../files.ts'
import { readEncryptionFile } from './encryption/file.ts'
import { KmsCommandError } from './errors.ts'
import { type KeyFacts, readKeyFacts } from './key-facts.ts'
import { type KmsCall } from './kms-command.ts'
import { loadKmsConfig } from './load-config.ts'
import { readPluginState } from './plugin-state.ts'
import { pluginClient } from './plugin/client.ts'
import { renderScan } from './scan/render.ts'
import { openTally, type Tally } from './scan/tally.ts'
import { type EncryptionToCheck, judge, type Verdict } from './scan/verdict.ts'
import { settleMsOf } from './settle.ts'

export interface VerifyRotationOptions {
  readonly etcd?: readonly string[]
  readonly cacert?: string
  readonly cert?: string
  readonly key?: string
  readonly prefix: string
  readonly provider?: string
  readonly retire?: number
  readonly encryptionConfig?: string
  readonly with: readonly string[]
  readonly output?: string
  readonly verbose: boolean
}

/** Where kubeadm has them, on a control-plane node. */
const KUBEADM_ETCD = 'https://127.0.0.1:2379'
const KUBEADM_CA = '/etc/kubernetes/pki/etcd/ca.crt'
const KUBEADM_CERT = '/etc/kubernetes/pki/apiserver-etcd-client.crt'
const KUBEADM_KEY = '/etc/kubernetes/pki/apiserver-etcd-client.key'

/** Keys of each group that `--verbose` shows. */
const EXAMPLES = 5
/** Of the plugin, for its Status. */
const PLUGIN_TIMEOUT_MS = 3_000
/** Between two looks at how far a scan is. */
const PROGRESS_INTERVAL_MS = 200

/** What was scanned. */
export interface Scan {
  readonly tally: Tally
  /** Of the etcd cluster, in hex. */
  readonly etcdClusterId: string
  readonly revision: number
  readonly startedAtMs: number
}

/** `sealctl kms verify-rotation`. */
export async function runVerifyRotation({ options, context }: KmsCall<VerifyRotationOptions>): Promise<CommandResult> {
  const { prefix, provider, output: wanted } = options
  if (prefix !== '' && wanted !== undefined) throw usage('a record is of everything: leave --prefix out')
  const version = versionAskedFor(options)
  const config = await loadKmsConfig(options.config)
  const encryption = await encryptionToCheck(options, config)
  const records = await readRecords(options.with, config)
  const nowMs = context.now().getTime()
  const key = await readKeyFacts(config, { nowMs, signal: context.signal })
  assertExists(version, key)
  const encryptingHere = await versionEncryptingHere(config, key, context.signal)
  await using file = wanted === undefined ? undefined : await openNewFile(wanted)
  const scan = await scanEtcd(key, options, context)
  const record = recordOf(scan, key, records)
  const verdict = judge(scan.tally, key, {
    ...{ version, provider, prefix, encryptingHere, encryption },
    ...{ scannedAtMs: Math.min(nowMs, record.verifiedAtMs), settleMs: settleMsOf(config) },
    elsewhere: records.flatMap(({ keyIds }) => keyIds),
  })
  const mayRetire = verdict.reasons.length === 0
  // A record is believed later by somebody who has not seen the scan.
  if (mayRetire) await file?.fill(Buffer.from(encodeRotationVerification(record)))
  const output = mayRetire ? wanted : undefined
  return {
    text: renderScan({ scan, verdict, key, output, verbose: options.verbose, encryptionPath: encryption?.path }),
    json: jsonOf({ scan, verdict, key, verbose: options.verbose }),
    exitCode: mayRetire ? EXIT_CODES.done : EXIT_CODES.notReady,
  }
}

/** 0: none, for the question is another one; undefined: all before the one that encrypts. @throws {@link SealctlError} `SEALCTL_USAGE`. */
function versionAskedFor({ retire, encryptionConfig, output }: VerifyRotationOptions): number | undefined {
  if (retire !== undefined || encryptionConfig === undefined) return retire
  if (output !== undefined)
    throw usage('a record is of a version: name it with --retire, or leave --encryption-config out')
  return 0
}

/** Reads what kube-apiserver goes by, and keeps none of its keys. */
async function encryptionToCheck(
  { encryptionConfig: path }: VerifyRotationOptions,
  { socket }: KmsConfig,
): Promise<EncryptionToCheck | undefined> {
  if (path === undefined) return undefined
  const { rules } = await readEncryptionFile(path)
  return { path, rules, endpoint: `unix://${socket.path}` }
}

/** @throws {@link SealctlError} `SEALCTL_USAGE`, `SEALCTL_INPUT_UNREADABLE`; {KmsKeyringError} `KMS_KEYRING_NOT_VERIFIED`. */
async function readRecords(
  paths: readonly string[],
  { clusterId }: KmsConfig,
): Promise<readonly RotationVerification[]> {
  return await Promise.all(
    paths.map(async path => {
      const record = parseRotationVerification(await readText(path, 'name a file that --output wrote'))
      if (record.clusterId === clusterId) return record
      throw usage(`${path} is of the cluster ${record.clusterId}, and this one is ${clusterId}`)
    }),
  )
}

/** By which version the plugin of this node encrypts: as it answers, else as it remembers. */
async function versionEncryptingHere(
  config: KmsConfig,
  { versions }: KeyFacts,
  signal: AbortSignal,
): Promise<number | undefined> {
  using client = pluginClient({ socketPath: config.socket.path, timeoutMs: PLUGIN_TIMEOUT_MS, signal })
  try {
    const { keyId } = await client.status()
    return versions.find(each => each.keyId === keyId)?.version
  } catch (error) {
    if (!(error instanceof KmsCommandError)) throw error
  }
  const found = await readPluginState(config)
  const remembered = found.kind === 'read' ? found.state.life.versions : []
  return remembered.find(({ phase }) => phase === 'active')?.version
}

/** @throws {@link KmsCommandError} `KMS_COMMAND_VERSION_UNKNOWN`. */
function assertExists(version: number | undefined, { versions }: KeyFacts): void {
  const newest = versions.at(-1)?.version ?? 0
  if (version === undefined || version <= newest) return
  throw new KmsCommandError('KMS_COMMAND_VERSION_UNKNOWN', `there is no version ${version}: the newest is ${newest}`)
}

async function scanEtcd(key: KeyFacts, options: VerifyRotationOptions, context: CommandContext): Promise<Scan> {
  const { signal } = context
  const startedAtMs = context.now().getTime()
  const keeper = openTally(key, { examples: options.verbose ? EXAMPLES : 0 })
  const progress = openProgress(context)
  let seen: { readonly clusterId: string; readonly revision: number } = { clusterId: '', revision: 0 }
  await using etcd = openEtcd(await etcdOptions(options))
  try {
    for await (const { entries, total, clusterId, revision } of etcd.scan(Buffer.from(options.prefix), { signal })) {
      for (const entry of entries) keeper.add(entry)
      seen = { clusterId, revision }
      await progress.show(keeper.tally().objects, total)
    }
  } finally {
    await progress.end()
  }
  return { tally: keeper.tally(), etcdClusterId: seen.clusterId, revision: seen.revision, startedAtMs }
}

/** Shows on a terminal how far a scan is. */
function openProgress({ stderr }: CommandContext) {
  let shownAtMs = -Infinity
  let isShown = false
  return {
    show: async (objects: number, total: number): Promise<void> => {
      const nowMs = performance.now()
      if (stderr.isTTY !== true || nowMs - shownAtMs < PROGRESS_INTERVAL_MS) return
      shownAtMs = nowMs
      isShown = true
      await write(stderr, `\r${objects} of ${total} objects`)
    },
    end: async (): Promise<void> => {
      if (isShown) await write(stderr, '\r\n')
    },
  }
}

/** @throws {@link SealctlError} `SEALCTL_USAGE`, `SEALCTL_INPUT_UNREADABLE`; {ProgramError} for the private key. */
async function etcdOptions({
  etcd: endpoints = [KUBEADM_ETCD],
  cacert,
  cert,
  key,
}: VerifyRotationOptions): Promise<EtcdOptions> {
  if ((cert === undefined) !== (key === undefined)) throw usage('--cert and --key belong together')
  const isHttps = endpoints.some(endpoint => endpoint.startsWith('https:'))
  if (!isHttps) {
    if (cacert !== undefined || cert !== undefined) throw usage('certificates are for https addresses only')
    return { endpoints }
  }
  const [certFile, keyFile] = cert === undefined && cacert === undefined ? [KUBEADM_CERT, KUBEADM_KEY] : [cert, key]
  const caPem = await readText(cacert ?? KUBEADM_CA, ETCD_FILES)
  if (certFile === undefined || keyFile === undefined) return { endpoints, caPem }
  const clientCertificate = {
    certificatePem: await readText(certFile, ETCD_FILES),
    privateKeyPem: await readSecretFile(keyFile),
  }
  return { endpoints, caPem, clientCertificate }
}

const ETCD_FILES = "name etcd's files with --cacert, --cert and --key"

async function readText(path: string, advice: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new SealctlError(
      'SEALCTL_INPUT_UNREADABLE',
      `cannot read ${path} (${errorCodeOf(cause) ?? 'no code'}): ${advice}`,
      { cause },
    )
  }
}

/**
 * What `sealctl kms keyring retire --verified` takes: what is encrypted by this plugin, here and by the records of other etcds. Other plugins
 * have nothing to do with it.
 *
 * @throws {@link SealctlError} `SEALCTL_USAGE`.
 */
function recordOf(
  { tally: { groups }, startedAtMs, etcdClusterId }: Scan,
  { clusterId }: KeyFacts,
  records: readonly RotationVerification[],
): RotationVerification {
  const found = groups.flatMap(({ finding }) =>
    finding.kind === 'ours' || finding.kind === 'lost' ? [finding.keyId] : [],
  )
  const etcdClusterIds = [...records.flatMap(record => record.etcdClusterIds), etcdClusterId]
  const twice = etcdClusterIds.find((id, index) => etcdClusterIds.indexOf(id) !== index)
  if (twice !== undefined) throw usage(`etcd ${twice} has been looked at twice: --with is for the records of others`)
  return {
    ...{ clusterId, etcdClusterIds: etcdClusterIds.sort() },
    verifiedAtMs: Math.min(startedAtMs, ...records.map(({ verifiedAtMs }) => verifiedAtMs)),
    keyIds: [...new Set([...found, ...records.flatMap(({ keyIds }) => keyIds)])].sort(),
  }
}

function jsonOf({
  scan,
  verdict,
  key,
  verbose,
}: {
  scan: Scan
  verdict: Verdict
  key: KeyFacts
  verbose: boolean
}): object {
  const { tally, etcdClusterId, revision, startedAtMs } = scan
  return {
    ...{ clusterId: key.clusterId, etcdClusterId, revision, scannedAt: new Date(startedAtMs).toISOString() },
    objects: tally.objects,
    activeVersion: key.active.version,
    ...{ version: verdict.version, mayRetire: verdict.reasons.length === 0 },
    ...{ reasons: verdict.reasons, warnings: verdict.warnings, cautions: verdict.cautions },
    groups: tally.groups.map(({ resource, finding, objects, examples }) => ({
      ...{ resource, ...finding, objects },
      ...(verbose ? { examples } : {}),
    })),
  }
}

function usage(message: string): SealctlError {
  return new SealctlError('SEALCTL_USAGE', message)
}
