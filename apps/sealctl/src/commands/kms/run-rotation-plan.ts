import { type KmsConfig } from '@sealwright/kms-config'
import { type CommandResult } from '../../command.ts'
import { plain } from '../../render/plain.ts'
import { withoutSlashes } from './files/policy.ts'
import { type KeyFacts, readKeyFacts } from './key-facts.ts'
import { type KmsCall } from './kms-command.ts'
import { loadKmsConfig } from './load-config.ts'
import { settleMsOf } from './settle.ts'

/** One step of a rotation. */
export interface Step {
  readonly what: string
  readonly commands: readonly string[]
  readonly why: string
  readonly isDone: boolean
}

const MS_PER_SECOND = 1_000
const SECONDS_PER_MINUTE = 60
const MS_PER_DAY = 86_400_000

/** `sealctl kms rotation-plan`. */
export async function runRotationPlan({ options, context }: KmsCall<object>): Promise<CommandResult> {
  const config = await loadKmsConfig(options.config)
  const nowMs = context.now().getTime()
  const key = await readKeyFacts(config, { nowMs, signal: context.signal })
  const steps = stepsOf(config, key, { nowMs, configPath: options.config })
  return {
    json: {
      clusterId: key.clusterId,
      activeVersion: key.active.version,
      pendingVersion: key.pending?.version ?? null,
      steps,
    },
    text: [
      plain(stateOf(key, nowMs)) + '\n',
      ...steps.flatMap(({ what, commands, why, isDone }, index) => [
        '\n' + plain(`${index + 1}. ${isDone ? '[done] ' : ''}${what}`) + '\n',
        ...commands.map(command => plain(`     ${command}`) + '\n'),
        plain(`   ${why}`) + '\n',
      ]),
    ].join(''),
  }
}

/**
 * The steps from one version of the key to the next, with what is known filled in. Pure.
 *
 * @param options.configPath - of the configuration, for the commands.
 */
export function stepsOf(
  config: KmsConfig,
  key: KeyFacts,
  { nowMs, configPath }: { readonly nowMs: number; readonly configPath: string },
): readonly Step[] {
  const { active, pending } = key
  const older = key.versions.filter(({ phase }) => phase === 'retiring')
  // Between a rotation and the retirement of what came before, the plan goes on with that one.
  const isUnderWay = pending !== undefined || older.length > 0
  const next = isUnderWay ? (pending ?? active).version : active.version + 1
  const settledAtMs = isUnderWay ? (pending ?? active).encryptsFromMs + settleMsOf(config) : undefined
  const isSettled = settledAtMs !== undefined && settledAtMs <= nowMs
  const named = configPath === '/etc/sealwright/kms.yaml' ? '' : ` --config ${configPath}`
  return [
    {
      what: 'Make a backup of etcd and of OpenBao, and note by which versions it can be read',
      commands: [
        'etcdctl snapshot save etcd-before-rotation.db',
        'bao operator raft snapshot save openbao-before-rotation.snap',
      ],
      why: `A backup of etcd from now needs version ${isUnderWay ? (older.at(-1) ?? active).version : active.version} for as long as you keep it.`,
      isDone: isUnderWay,
    },
    {
      what: `Make version ${next} of the key`,
      commands: rotateCommands(config, named),
      why: `By the configuration no node encrypts by it for ${duration(config.rotation.activationDelayMs)}, so that every node has seen it by then.`,
      isDone: isUnderWay,
    },
    {
      what:
        settledAtMs === undefined
          ? `Wait about ${duration(config.rotation.activationDelayMs + settleMsOf(config))}, until every API server writes by version ${next}`
          : `Wait until ${iso(settledAtMs)}, when every API server writes by version ${next}`,
      commands: [
        `sealctl kms verify-key${named}      # on each control-plane node: the plugin encrypts by version ${next}`,
      ],
      why: 'An API server goes on writing by what it has for up to 3 min after the plugin has changed over.',
      isDone: isSettled,
    },
    {
      what: 'Write every object anew that is encrypted',
      commands: ['kubectl get secrets --all-namespaces -o json | kubectl replace -f -'],
      why: 'The same for each other resource in the EncryptionConfiguration, or a StorageVersionMigration for each. Conflicts are harmless: run it again.',
      isDone: false,
    },
    {
      what: 'Have etcd looked through',
      commands: [`sealctl kms verify-rotation${named} --retire ${next - 1} --output rotation-${next - 1}.json`],
      why: 'It ends with 0 only if nothing needs the old version any more.',
      isDone: false,
    },
    {
      what: 'Make a new backup of etcd, and try it out',
      commands: [`etcdctl snapshot save etcd-version-${next}.db`],
      why: `Older backups of etcd cannot be read without version ${next - 1}: destroy them, or keep that version for as long as you keep them.`,
      isDone: false,
    },
    {
      what: `Retire version ${next - 1} and what is older. Only when no backup needs it`,
      commands: retireCommands(config, next, named),
      why: 'Raising min_decryption_version can be taken back; trimming the key, or retiring a version of a keyring, cannot.',
      isDone: false,
    },
  ]
}

function rotateCommands({ backend }: KmsConfig, named: string): readonly string[] {
  if (backend.type === 'keyring') {
    return [
      `sealctl kms keyring rotate${named}`,
      `sealctl kms keyring export${named} keyring.bin      # then sealctl kms keyring import on each other node`,
    ]
  }
  return [...namespaceOf(backend), `bao write -f ${withoutSlashes(backend.mountPath)}/keys/${backend.keyName}/rotate`]
}

function retireCommands({ backend }: KmsConfig, next: number, named: string): readonly string[] {
  if (backend.type === 'keyring') {
    return [`sealctl kms keyring retire${named} ${next - 1} --verified rotation-${next - 1}.json`]
  }
  const key = `${withoutSlashes(backend.mountPath)}/keys/${backend.keyName}`
  return [...namespaceOf(backend), `bao write ${key}/config min_decryption_version=${next}`]
}

function namespaceOf({ namespace }: { readonly namespace?: string | undefined }): readonly string[] {
  return namespace === undefined ? [] : [`export BAO_NAMESPACE=${namespace}`]
}

function stateOf({ clusterId, active, pending, versions }: KeyFacts, nowMs: number): string {
  const oldest = versions.find(({ phase }) => phase !== 'retired') ?? active
  const ageDays = Math.floor((nowMs - active.createdAtMs) / MS_PER_DAY)
  const now = `Cluster ${clusterId} encrypts by version ${active.version}, made ${iso(active.createdAtMs)} (${ageDays} days ago), and decrypts from version ${oldest.version} on.`
  if (pending === undefined) return now
  return `${now} Version ${pending.version} was made ${iso(pending.createdAtMs)}, and encrypts from ${iso(pending.encryptsFromMs)} on.`
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / MS_PER_SECOND)
  return seconds < 2 * SECONDS_PER_MINUTE ? `${seconds} s` : `${Math.ceil(seconds / SECONDS_PER_MINUTE)} min`
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString()
}
