import { type KmsConfig, type TransitBackendConfig } from '@sealwright/kms-config'
import { type CommandResult } from '../../command.ts'
import { plain } from '../../render/plain.ts'
import { withoutSlashes } from './files/policy.ts'
import { DEFAULT_HAND_OUT_MINUTES } from './keyring.ts'
import { type KeyFacts, readKeyFacts } from './key-facts.ts'
import { namedConfig } from './files/named-config.ts'
import { type KmsCall } from './kms-command.ts'
import { loadKmsConfig } from './load-config.ts'
import { settleMsOf } from './settle.ts'
import { iso } from './words.ts'

/** One step of a rotation. */
export interface Step {
  readonly what: string
  readonly commands: readonly string[]
  readonly why: string
  readonly isDone: boolean
}

const MS_PER_SECOND = 1_000
const SECONDS_PER_MINUTE = 60
const MS_PER_MINUTE = 60_000
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
  // Between the two there may be versions that are retired already.
  const former =
    key.versions.findLast(({ version, phase }) => version < next && phase !== 'retired')?.version ?? next - 1
  const settledAtMs = isUnderWay ? (pending ?? active).encryptsFromMs + settleMsOf(config) : undefined
  const isSettled = settledAtMs !== undefined && settledAtMs <= nowMs
  const named = namedConfig(configPath)
  const ownSteps = stepsOfBackend(config, { next, former, named })
  const waitMs = ownSteps.waitMs + settleMsOf(config)
  return [
    {
      what: isUnderWay
        ? `Have a backup of etcd and of ${ownSteps.keptIn} from before version ${next}`
        : `Make a backup of etcd and of ${ownSteps.keptIn}, and note by which versions it can be read`,
      commands: isUnderWay ? [] : ['etcdctl snapshot save etcd-before-rotation.db', ownSteps.backUp],
      why: `A backup of etcd from now needs version ${isUnderWay ? (older.at(-1) ?? active).version : active.version} for as long as you keep it.`,
      isDone: false,
    },
    {
      what: `Make version ${next} of the key`,
      commands: ownSteps.rotate,
      why: isUnderWay
        ? `No node encrypts by it before ${iso((pending ?? active).encryptsFromMs)}.`
        : `${ownSteps.rotateNote} no node encrypts by it for ${duration(ownSteps.waitMs)}, so that every node has it by then.`,
      isDone: isUnderWay,
    },
    ...(ownSteps.bring.length === 0
      ? []
      : [
          {
            what: `Bring version ${next} to every other control-plane node before any encrypts by it`,
            commands: ownSteps.bring,
            why: 'A node that lacks it cannot read what the others write by it (KMS_KEY_ID_UNKNOWN): bring it there, and that ends. This plan sees this node alone.',
            isDone: false,
          },
        ]),
    {
      what:
        settledAtMs === undefined
          ? `Wait about ${duration(waitMs)}, until every API server writes by version ${next}`
          : `Wait until ${iso(settledAtMs)}, when every API server writes by version ${next}`,
      commands: [verifyKey(named, next)],
      why:
        'An API server goes on writing by what it has for up to 3 min after its plugin has changed over, and for as long as its plugin is not well: ' +
        'count from the moment at which the last node names the new version.',
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
      commands: [`sealctl kms verify-rotation${named} --retire ${former}`],
      why: 'It ends with 0 only if nothing needs the old version any more.',
      isDone: false,
    },
    {
      what: `Make a new backup of etcd${ownSteps.andBackUpAgain.length > 0 ? ' and of the keyring' : ''}, and try it out`,
      commands: [`etcdctl snapshot save etcd-version-${next}.db`, ...ownSteps.andBackUpAgain],
      why: `Older backups of etcd cannot be read without version ${former}: destroy them, or keep that version for as long as you keep them.`,
      isDone: false,
    },
    {
      what: `Retire version ${former} and what is older. Only when no backup needs it`,
      commands: ownSteps.retire,
      why:
        `Only when the plugin of EVERY node has named version ${next} for 3 min, and the look after that ended with 0: what a node goes on ` +
        `writing by an older version could be read by nobody. ${ownSteps.retireNote}`,
      isDone: false,
    },
  ]
}

/** What the steps are for one kind of backend. */
interface BackendSteps {
  /** What has the key. */
  readonly keptIn: string
  readonly backUp: string
  readonly andBackUpAgain: readonly string[]
  readonly rotate: readonly string[]
  /** To the other nodes; empty where they see it by themselves. */
  readonly bring: readonly string[]
  readonly rotateNote: string
  /** So long after it was made a version begins to encrypt. */
  readonly waitMs: number
  readonly retire: readonly string[]
  readonly retireNote: string
}

interface StepFacts {
  readonly next: number
  /** The newest before it that still decrypts, and goes. */
  readonly former: number
  readonly named: string
}

function stepsOfBackend(config: KmsConfig, facts: StepFacts): BackendSteps {
  switch (config.backend.type) {
    case 'keyring':
      return keyringSteps(config, facts)
    case 'transit':
      return transitSteps(config, config.backend, facts)
  }
}

function keyringSteps({ rotation }: KmsConfig, { next, former, named }: StepFacts): BackendSteps {
  const record = `rotation-${former}.json`
  return {
    keptIn: 'the keyring',
    backUp: `sealctl kms keyring export${named} keyring-before-version-${next}.bin      # keep it off this node`,
    andBackUpAgain: [
      `sealctl kms keyring export${named} keyring-with-version-${next}.bin      # keep it off this node`,
    ],
    rotate: [`sealctl kms keyring rotate${named}`],
    bring: [
      `sealctl kms keyring export${named} keyring-version-${next}.bin`,
      `sealctl kms keyring import${named} keyring-version-${next}.bin      # on each other control-plane node`,
    ],
    rotateNote: `Its date is ${DEFAULT_HAND_OUT_MINUTES} min ahead (--hand-out), and then comes the delay of the configuration:`,
    waitMs: DEFAULT_HAND_OUT_MINUTES * MS_PER_MINUTE + rotation.activationDelayMs,
    retire: [
      verifyKey(named, next),
      `sealctl kms verify-rotation${named} --retire ${former} --output ${record}`,
      `sealctl kms keyring retire${named} ${former} --verified ${record}`,
      '# start the API server of this node anew, and read all Secrets by it. Only if it can:',
      `sealctl kms keyring export${named} keyring-retired-${former}.bin`,
      `sealctl kms keyring import${named} keyring-retired-${former}.bin --accept-retired      # on each other control-plane node`,
    ],
    retireNote:
      'A record is believed for 15 min: make a new one. Each node keeps keyring.before-retire-N in its store, by which sealctl kms keyring restore takes ' +
      'the retirement back; delete it there once nothing can need the version any more.',
  }
}

function transitSteps(
  { rotation }: KmsConfig,
  backend: TransitBackendConfig,
  { next, former, named }: StepFacts,
): BackendSteps {
  const key = `${withoutSlashes(backend.mountPath)}/keys/${backend.keyName}`
  return {
    keptIn: 'OpenBao',
    backUp: 'bao operator raft snapshot save openbao-before-rotation.snap',
    andBackUpAgain: [],
    rotate: [...namespaceOf(backend), `bao write -f ${key}/rotate`],
    bring: [],
    rotateNote: 'By the configuration',
    waitMs: rotation.activationDelayMs,
    retire: [
      verifyKey(named, next),
      `sealctl kms verify-rotation${named} --retire ${former}`,
      ...namespaceOf(backend),
      `bao write ${key}/config min_decryption_version=${next}`,
    ],
    retireNote:
      'Look through etcd once more: the last look is older than the backup. Raising min_decryption_version can be taken back; trimming the key cannot.',
  }
}

function verifyKey(named: string, version: number): string {
  return `sealctl kms verify-key${named}      # on each control-plane node: the plugin encrypts by version ${version}`
}

function namespaceOf({ namespace }: { readonly namespace?: string | undefined }): readonly string[] {
  return namespace === undefined ? [] : [`export BAO_NAMESPACE=${namespace}`]
}

function stateOf({ clusterId, active, pending, versions }: KeyFacts, nowMs: number): string {
  const oldest = versions.find(({ phase }) => phase !== 'retired') ?? active
  const ageDays = Math.floor((nowMs - active.createdAtMs) / MS_PER_DAY)
  const now = `Cluster ${clusterId} encrypts by version ${active.version}, dated ${iso(active.createdAtMs)} (${ageDays} days ago), and decrypts from version ${oldest.version} on.`
  if (pending === undefined) return now
  return `${now} Version ${pending.version} is dated ${iso(pending.createdAtMs)}, and encrypts from ${iso(pending.encryptsFromMs)} on.`
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / MS_PER_SECOND)
  return seconds < 2 * SECONDS_PER_MINUTE ? `${seconds} s` : `${Math.ceil(seconds / SECONDS_PER_MINUTE)} min`
}
