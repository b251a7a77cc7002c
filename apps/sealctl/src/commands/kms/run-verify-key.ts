import { setTimeout as sleep } from 'node:timers/promises'
import { type KmsConfig } from '@sealwright/kms-config'
import { kmsBackend } from '@sealwright/kms-backends'
import {
  describeTrouble,
  type KeyLife,
  type KeyLook,
  type KeyObservation,
  KmsError,
  type KmsBackend,
  lookAtKey,
  type LookOptions,
} from '@sealwright/kms-v2'
import { randomKeyBytes, Secret } from '@sealwright/secret'
import { type CommandResult } from '../../command.ts'
import { EXIT_CODES } from '../../exit-codes.ts'
import { plain, table } from '../../render/plain.ts'
import { SEAL_CONTEXT } from '../../seal-context.ts'
import { factsOf, type KeyFacts, type VersionFacts } from './key-facts.ts'
import { type KmsCall } from './kms-command.ts'
import { loadKmsConfig } from './load-config.ts'
import { readPluginState } from './plugin-state.ts'
import { askPluginStatus } from './plugin/ask-status.ts'
import { iso } from './words.ts'

/** As many as a seed of kube-apiserver has. */
const SAMPLE_BYTES = 32
/** Nothing that is encrypted here passes for anything that kube-apiserver stores. */
const ASSOCIATED_DATA = new TextEncoder().encode('sealwright kms v2 verify-key v1')
/** Between two looks. */
const PAUSE_MS = 200

/** How a version did when it was tried. */
export type Trial =
  | { readonly kind: 'works' }
  /** It may not encrypt any more; whether it decrypts can only be seen with old data. */
  | { readonly kind: 'encrypts-no-more' }
  | { readonly kind: 'retired' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }

/** What the running plugin of this node says of itself. */
export type PluginView =
  | { readonly kind: 'answers'; readonly healthz: string; readonly keyId: string; readonly version: number | undefined }
  | { readonly kind: 'refuses' | 'silent'; readonly code: string; readonly message: string }

interface Findings {
  readonly failures: readonly string[]
  readonly warnings: readonly string[]
}

/** `sealctl kms verify-key`. */
export async function runVerifyKey({ options, context }: KmsCall<object>): Promise<CommandResult> {
  const { signal } = context
  const config = await loadKmsConfig(options.config)
  await using backend = await kmsBackend(config.backend, { ...SEAL_CONTEXT, looksOnly: true })
  const key = factsOf(config, await observed(backend, signal), context.now().getTime())
  const trials = new Map<number, Trial>()
  for (const version of key.versions) trials.set(version.version, await tryVersion(backend, key, version, signal))
  const plugin = await askPlugin(config, key, signal)
  const remembered = await compareState(config, backend, signal)
  const { failures, warnings } = judge(key, trials, plugin, remembered)
  return {
    json: jsonOf(key, trials, plugin, { failures, warnings }),
    text: textOf(key, trials, plugin, { failures, warnings }),
    exitCode: failures.length > 0 ? EXIT_CODES.notReady : warnings.length > 0 ? EXIT_CODES.atRisk : EXIT_CODES.done,
  }
}

/** What is wrong is told as it is: the words for kube-apiserver name no seal, and send to a log that has nothing of this. */
async function observed(backend: KmsBackend, signal: AbortSignal): Promise<KeyObservation> {
  try {
    return await backend.observe({ signal })
  } catch (error) {
    const isOfKeyring = backend.provider === 'keyring' && error instanceof KmsError
    throw isOfKeyring && error.cause instanceof Error ? error.cause : error
  }
}

async function tryVersion(
  backend: KmsBackend,
  key: Pick<KeyFacts, 'oldestDecryptable' | 'oldestEncryptable'>,
  { version }: VersionFacts,
  signal: AbortSignal,
): Promise<Trial> {
  if (version < key.oldestDecryptable) return { kind: 'retired' }
  if (version < key.oldestEncryptable) return { kind: 'encrypts-no-more' }
  using plaintext = new Secret(randomKeyBytes(SAMPLE_BYTES))
  try {
    const wrapped = await backend.encrypt({ version, plaintext, associatedData: ASSOCIATED_DATA }, { signal })
    using decrypted = await backend.decrypt({ version, wrapped, associatedData: ASSOCIATED_DATA }, { signal })
    if (decrypted.equals(plaintext)) return { kind: 'works' }
    return { kind: 'failed', code: 'KMS_BACKEND_BROKEN', message: 'it decrypts to something else than was encrypted' }
  } catch (error) {
    if (!(error instanceof KmsError) || error.code === 'KMS_CANCELLED') throw error
    return { kind: 'failed', code: error.code, message: error.message }
  }
}

async function askPlugin(config: KmsConfig, { versions }: KeyFacts, signal: AbortSignal): Promise<PluginView> {
  const status = await askPluginStatus(config, signal)
  if (status.kind === 'answers') {
    return { ...status, version: versions.find(each => each.keyId === status.keyId)?.version }
  }
  return { ...status, kind: status.kind === 'refuses' ? 'refuses' : 'silent' }
}

/** What the plugin of this node would find at its next look at the key, by what it remembers. */
async function compareState(config: KmsConfig, backend: KmsBackend, signal: AbortSignal): Promise<Findings> {
  const found = await readPluginState(config)
  if (found.kind === 'none') {
    return { failures: [], warnings: [`${found.path}: no plugin has remembered the key here yet`] }
  }
  if (found.kind === 'unusable') return { failures: [], warnings: [`${found.path}: ${found.message}`] }
  const { state, path } = found
  const { clusterId, rotation: policy } = config
  if (state.clusterId !== clusterId || state.provider !== backend.provider) {
    const other = `${path} is of cluster ${state.clusterId}, provider ${state.provider}`
    return { failures: [`${other}: the plugin does not start with it`], warnings: [] }
  }
  const remembered = { ...state.life, doubts: 0, trouble: null }
  const look = await lookThrough(
    remembered,
    {
      ...{ backend, clusterId, policy, nowMs: Date.now(), turn: 0 },
      newPlaintext: () => new Secret(randomKeyBytes(SAMPLE_BYTES)),
    },
    signal,
  )
  const trouble = describeTrouble(look.life.trouble)
  return { failures: trouble === null ? [] : [trouble], warnings: [] }
}

/** What is seen once or twice, and might be a standby that lags behind, is looked at again. */
async function lookThrough(known: KeyLife, options: LookOptions, signal: AbortSignal): Promise<KeyLook> {
  for (;;) {
    const look = await lookAtKey(known, options, { signal })
    if (!look.isDoubtful) return look
    known = look.life
    await sleep(PAUSE_MS, undefined, { signal })
  }
}

function judge(key: KeyFacts, trials: ReadonlyMap<number, Trial>, plugin: PluginView, remembered: Findings): Findings {
  const failed = [...trials].flatMap(([version, trial]) =>
    trial.kind === 'failed' ? [`version ${version}: ${trial.code}: ${trial.message}`] : [],
  )
  return {
    failures: [...failed, ...remembered.failures, ...pluginFailures(plugin, key)],
    warnings: [...remembered.warnings, ...pluginWarnings(plugin, key)],
  }
}

function pluginFailures(plugin: PluginView, { clusterId }: KeyFacts): readonly string[] {
  if (plugin.kind !== 'answers') {
    return plugin.kind === 'refuses' ? [`the plugin does not say by what it encrypts: ${plugin.message}`] : []
  }
  if (plugin.version === undefined) {
    return [
      `the plugin encrypts by ${plugin.keyId}, which is no version of this key in cluster ${clusterId}: it runs with another configuration`,
    ]
  }
  return plugin.healthz === 'ok' ? [] : [`the plugin says: ${plugin.healthz}`]
}

function pluginWarnings(plugin: PluginView, { active }: KeyFacts): readonly string[] {
  if (plugin.kind !== 'answers') {
    return plugin.kind === 'silent' ? [`the plugin of this node was not reached: ${plugin.message}`] : []
  }
  if (plugin.version === undefined || plugin.version === active.version) return []
  return [
    `the plugin still encrypts by version ${plugin.version}, and version ${active.version} is old enough: it follows within a few looks at the key`,
  ]
}

function textOf(
  key: KeyFacts,
  trials: ReadonlyMap<number, Trial>,
  plugin: PluginView,
  { failures, warnings }: Findings,
): string {
  return [
    table([
      ['cluster', key.clusterId],
      ['provider', key.provider],
      ['decrypts', `from version ${key.oldestDecryptable} on`],
      ['encrypts', key.oldestEncryptable === 0 ? 'any version may' : `from version ${key.oldestEncryptable} on`],
      ['plugin', plugin.kind !== 'answers' ? plugin.code : `version ${plugin.version ?? 'unknown'}, ${plugin.healthz}`],
    ]),
    '\n',
    table([
      ['VERSION', 'PHASE', 'MADE', 'ENCRYPTS FROM', 'TRIED', 'KEY ID'],
      ...key.versions.map(version => [
        ...[String(version.version), version.phase, iso(version.createdAtMs), iso(version.encryptsFromMs)],
        ...[describeTrial(trials.get(version.version)), version.keyId],
      ]),
    ]),
    ...(failures.length + warnings.length === 0 ? [] : ['\n']),
    ...warnings.map(warning => plain(`warning: ${warning}`) + '\n'),
    ...failures.map(failure => plain(`FAILED: ${failure}`) + '\n'),
  ].join('')
}

function describeTrial(trial: Trial | undefined): string {
  switch (trial?.kind) {
    case 'works':
      return 'encrypts and decrypts'
    case 'encrypts-no-more':
      return 'encrypts no more'
    case 'failed':
      return trial.code
    case 'retired':
    case undefined:
      return 'retired'
  }
}

function jsonOf(key: KeyFacts, trials: ReadonlyMap<number, Trial>, plugin: PluginView, findings: Findings): object {
  const { clusterId, provider, active, pending, oldestDecryptable, oldestEncryptable } = key
  return {
    ...{ clusterId, provider, activeVersion: active.version, pendingVersion: pending?.version ?? null },
    ...{ oldestDecryptable, oldestEncryptable },
    versions: key.versions.map(({ version, phase, createdAtMs, encryptsFromMs, keyId }) => ({
      ...{ version, phase, keyId, createdAt: iso(createdAtMs), encryptsFrom: iso(encryptsFromMs) },
      trial: trials.get(version),
    })),
    ...{ plugin, ...findings },
  }
}
