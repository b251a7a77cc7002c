import {
  encodeRotationVerification,
  type EtcdLookedAt,
  parseRotationVerification,
  type RotationVerification,
} from '@sealwright/kms-backends'
import { type KmsConfig } from '@sealwright/kms-config'
import { type CommandResult } from '../../command.ts'
import { usageError } from '../../errors.ts'
import { EXIT_CODES } from '../../exit-codes.ts'
import { openNewFile } from '../../files.ts'
import { askWhatEncryptsHere } from './encrypting-here.ts'
import { readEncryptionFile } from './encryption/file.ts'
import { KmsCommandError } from './errors.ts'
import { type KeyFacts, readKeyFacts } from './key-facts.ts'
import { type KmsCall } from './kms-command.ts'
import { loadKmsConfig } from './load-config.ts'
import { readTextFile, RECORD_ADVICE } from './read-text-file.ts'
import { judgeLeaving } from './scan/leaving.ts'
import { renderScan } from './scan/render.ts'
import { type Scan, scanEtcd, type ScanOptions } from './scan/scan.ts'
import { type EncryptionToCheck, judge, type Verdict } from './scan/verdict.ts'
import { settleMsOf } from './settle.ts'

export interface VerifyRotationOptions extends ScanOptions {
  readonly provider?: string
  readonly retire?: number
  readonly encryptionConfig?: string
  readonly with: readonly string[]
  readonly output?: string
  readonly leaving: boolean
}

/** `sealctl kms verify-rotation`. */
export async function runVerifyRotation(call: KmsCall<VerifyRotationOptions>): Promise<CommandResult> {
  const { options, context } = call
  if (options.leaving) return await verifyLeaving(call)
  const { prefix, provider, output: wanted } = options
  if (prefix !== '' && wanted !== undefined) throw usageError('a record is of everything: leave --prefix out')
  const version = versionAskedFor(options)
  const config = await loadKmsConfig(options.config)
  const encryption = await encryptionToCheck(options, config)
  const records = await readRecords(options.with, config)
  const nowMs = context.now().getTime()
  const key = await readKeyFacts(config, { nowMs, signal: context.signal })
  assertExists(version, key)
  const encryptingHere = await askWhatEncryptsHere(config, key, context.signal)
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
    text: renderScan({
      ...{ scan, verdict, key, output, verbose: options.verbose },
      question: { kind: 'rotation', version: verdict.version, encryptionPath: encryption?.path },
      elsewhere: records.flatMap(({ etcds }) => etcds),
    }),
    json: {
      ...jsonOf({ scan, verdict, key, etcds: record.etcds, verbose: options.verbose }),
      ...{ version: verdict.version, mayRetire },
    },
    exitCode: mayRetire ? EXIT_CODES.done : EXIT_CODES.notReady,
  }
}

/** Whether anything is left that needs the plugin, which is to be taken away. */
async function verifyLeaving({ options, context }: KmsCall<VerifyRotationOptions>): Promise<CommandResult> {
  const { retire, output, prefix, with: others } = options
  if (retire !== undefined || output !== undefined || others.length > 0) {
    throw usageError('--leaving asks another question: leave --retire, --output and --with out')
  }
  const config = await loadKmsConfig(options.config)
  const encryption = await encryptionToCheck(options, config)
  const { signal } = context
  const key = await readKeyFacts(config, { nowMs: context.now().getTime(), signal })
  const scan = await scanEtcd(key, options, context)
  const verdict = judgeLeaving(scan.tally, { prefix, encryption })
  const mayLeave = verdict.reasons.length === 0
  return {
    text: renderScan({ scan, verdict, key, verbose: options.verbose, question: { kind: 'leaving' } }),
    json: { ...jsonOf({ scan, verdict, key, etcds: [scan.etcd], verbose: options.verbose }), mayLeave },
    exitCode: mayLeave ? EXIT_CODES.done : EXIT_CODES.notReady,
  }
}

/** 0: none, for the question is another one; undefined: all before the one that encrypts. @throws {@link SealctlError} `SEALCTL_USAGE`. */
function versionAskedFor({ retire, encryptionConfig, output }: VerifyRotationOptions): number | undefined {
  if (retire !== undefined || encryptionConfig === undefined) return retire
  if (output !== undefined)
    throw usageError('a record is of a version: name it with --retire, or leave --encryption-config out')
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
      const record = parseRotationVerification(await readTextFile(path, RECORD_ADVICE))
      if (record.clusterId === clusterId) return record
      throw usageError(`${path} is of the cluster ${record.clusterId}, and this one is ${clusterId}`)
    }),
  )
}

/** @throws {@link KmsCommandError} `KMS_COMMAND_VERSION_UNKNOWN`. */
function assertExists(version: number | undefined, { versions }: KeyFacts): void {
  const newest = versions.at(-1)?.version ?? 0
  if (version === undefined || version <= newest) return
  throw new KmsCommandError('KMS_COMMAND_VERSION_UNKNOWN', `there is no version ${version}: the newest is ${newest}`)
}

/**
 * What `sealctl kms keyring retire --verified` takes: what is encrypted by this plugin, here and by the records of other etcds. Other plugins
 * have nothing to do with it.
 *
 * @throws {@link SealctlError} `SEALCTL_USAGE`.
 */
function recordOf(
  { tally: { groups }, startedAtMs, etcd }: Scan,
  { clusterId }: KeyFacts,
  records: readonly RotationVerification[],
): RotationVerification {
  const found = groups.flatMap(({ finding }) =>
    finding.kind === 'ours' || finding.kind === 'lost' ? [finding.keyId] : [],
  )
  const etcds = [...records.flatMap(record => record.etcds), etcd].sort((a, b) => (a.clusterId < b.clusterId ? -1 : 1))
  const ids = etcds.map(each => each.clusterId)
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  if (twice !== undefined)
    throw usageError(`etcd ${twice} has been looked at twice: --with is for the records of others`)
  return {
    ...{ clusterId, etcds },
    verifiedAtMs: Math.min(startedAtMs, ...records.map(({ verifiedAtMs }) => verifiedAtMs)),
    keyIds: [...new Set([...found, ...records.flatMap(({ keyIds }) => keyIds)])].sort(),
  }
}

function jsonOf({
  scan,
  verdict,
  key,
  etcds,
  verbose,
}: {
  readonly scan: Scan
  readonly verdict: Pick<Verdict, 'reasons' | 'warnings' | 'cautions'>
  readonly key: KeyFacts
  readonly etcds: readonly EtcdLookedAt[]
  readonly verbose: boolean
}): object {
  const { tally, etcd, revision, startedAtMs } = scan
  return {
    ...{ clusterId: key.clusterId, etcdClusterId: etcd.clusterId, revision, etcds },
    scannedAt: new Date(startedAtMs).toISOString(),
    objects: tally.objects,
    activeVersion: key.active.version,
    ...{ reasons: verdict.reasons, warnings: verdict.warnings, cautions: verdict.cautions },
    groups: tally.groups.map(({ resource, finding, objects, examples }) => ({
      ...{ resource, ...finding, objects },
      ...(verbose ? { examples } : {}),
    })),
  }
}
