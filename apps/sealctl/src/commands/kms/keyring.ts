import { type Command, InvalidArgumentError } from 'commander'
import { collect, parseWholeNumber, type Session } from '../../command.ts'
import { kmsCommand } from './kms-command.ts'

const MINUTES_PER_DAY = 1_440
const MAX_HAND_OUT_MINUTES = 30 * MINUTES_PER_DAY
/** So long a new version is handed out before any node encrypts by it. */
export const DEFAULT_HAND_OUT_MINUTES = 60
const MIN_SHARES = 2
const MAX_SHARES = 255

export interface InitOptions {
  readonly label?: string
  readonly singleWayIn: boolean
  readonly shares?: number
  readonly threshold?: number
  readonly output?: string
}

export interface ShowOptions {
  readonly try: boolean
}

export interface RotateOptions {
  /** Minutes. */
  readonly handOut: number
}

export interface RetireOptions {
  readonly verified?: string
  readonly iHaveVerified: boolean
  readonly confirm?: string
  readonly everyNodeVerified: boolean
}

export interface RestoreOptions {
  readonly clusterId?: string
}

export interface ImportOptions {
  readonly clusterId?: string
  readonly label?: string
  readonly acceptRetired: boolean
}

export interface RequestOptions {
  readonly seal?: string
  readonly label?: string
  readonly output: string
}

export interface ApproveOptions {
  readonly request: string
  readonly label: string
  readonly fingerprint?: string
  readonly output: string
}

export interface RecoverOptions {
  readonly keyring?: string
  readonly shares: boolean
  readonly shareFile: readonly string[]
  readonly clusterId?: string
  readonly label?: string
  readonly acceptRetired: boolean
}

const CLUSTER_ID =
  'the keyring that it must be, as init and share cards have it; left out: backend.clusterId of the configuration'
const ACCEPT_RETIRED =
  'accept that versions are retired by it which this node still decrypts by; a copy from before is kept'
const LABEL = 'what the devices of this node are called, where they are new; left out: its host name'

/** Adds `sealctl kms keyring`. */
export function addKmsKeyring(kms: Command, session: Session): void {
  const keyring = kms
    .command('keyring')
    .description(
      'The key of a KMS plugin that TPMs, tokens, another OpenBao or people with shares open: backend type keyring.',
    )
  addInit(keyring, session)
  addShow(keyring, session)
  addRotate(keyring, session)
  addRetire(keyring, session)
  addRestore(keyring, session)
  addExportAndImport(keyring, session)
  addEnroll(keyring, session)
  addRecover(keyring, session)
}

function addInit(keyring: Command, session: Session): void {
  const count = (text: string): number => parseWholeNumber(text, MIN_SHARES, MAX_SHARES)
  const command = keyring
    .command('init')
    .description(
      'Once for a cluster: makes a new random key, has every seal of this node keep it, and proves each. Nobody sees the key.',
    )
    .option('--label <text>', LABEL)
    .option('--shares <number>', 'how many shares to make, for a seal of type shamir', count)
    .option('--threshold <number>', 'how many of them open', count)
    .option('--output <folder>', 'write one file a share into this new folder, instead of showing them')
    .option('--single-way-in', 'accept that one device alone opens it: if that is lost, every Secret is', false)
  kmsCommand<InitOptions>(command, session, {
    examples: ['keyring init --shares 5 --threshold 3 --output /run/cards', 'keyring init --single-way-in'],
    load: async () => (await import('./run-init.ts')).runInit,
  })
}

function addShow(keyring: Command, session: Session): void {
  const command = keyring
    .command('show')
    .description('Says which versions, seals and devices the keyring in the store of this node has. Asks no device.')
    .option(
      '--try',
      'also open it by each seal of this node, for real; ends with 3 if one of them fails, with 6 if all do',
      false,
    )
  kmsCommand<ShowOptions>(command, session, {
    examples: ['keyring show', 'keyring show --try', 'keyring show --json'],
    load: async () => (await import('./run-show.ts')).runShow,
  })
}

function addRotate(keyring: Command, session: Session): void {
  const minutes = (text: string): number => parseWholeNumber(text, 0, MAX_HAND_OUT_MINUTES)
  const command = keyring
    .command('rotate')
    .description('Makes the next version of the key. Bring it to the other nodes before they are to encrypt by it.')
    .option(
      '--hand-out <minutes>',
      `how long no node encrypts by it, so that all others get it first; left out: ${DEFAULT_HAND_OUT_MINUTES}`,
      minutes,
      DEFAULT_HAND_OUT_MINUTES,
    )
  kmsCommand<RotateOptions>(command, session, {
    examples: ['keyring rotate', 'keyring rotate --hand-out 1440'],
    load: async () => (await import('./run-change.ts')).runRotate,
  })
}

function addRetire(keyring: Command, session: Session): void {
  const command = keyring
    .command('retire')
    .description(
      'Gives a version of the key up, and all that are older: what is encrypted by them cannot be read any more. Keeps a copy from before in the store.',
    )
    .argument('<version>', 'its number, as sealctl kms keyring show has it', text => {
      // Commander gives arguments on as they are.
      if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be the number of a version.')
      return text
    })
    .option('--verified <file>', 'what sealctl kms verify-rotation has written in the last 15 minutes')
    .option(
      '--i-have-verified',
      'instead: you know that nothing is encrypted by it any more; asks for the version again',
      false,
    )
    .option('--confirm <version>', 'the version again, instead of typing it')
    .option(
      '--every-node-verified',
      'sealctl kms verify-key has just named a newer version as the plugin’s on every control-plane node; left out: it is asked',
      false,
    )
  kmsCommand<RetireOptions>(command, session, {
    examples: [
      'keyring retire 3 --verified rotation-3.json',
      'keyring retire 3 --i-have-verified --confirm 3 --every-node-verified',
    ],
    load: async () => (await import('./run-change.ts')).runRetire,
  })
}

function addRestore(keyring: Command, session: Session): void {
  const command = keyring
    .command('restore')
    .description(
      'Takes a retirement back: versions that a keyring from before has active are active again. Nothing else is changed.',
    )
    .argument('<file>', 'keyring.before-retire-N in the store, or an export of a node that has them')
    .option('--cluster-id <hex>', CLUSTER_ID)
  kmsCommand<RestoreOptions>(command, session, {
    examples: ['keyring restore /var/lib/sealwright/kms/keyring/keyring.before-retire-3'],
    load: async () => (await import('./run-restore.ts')).runRestore,
  })
}

function addExportAndImport(keyring: Command, session: Session): void {
  const exporting = keyring
    .command('export')
    .description(
      'Writes the keyring of this node to a new file, for the other nodes and as a backup. It has no plain key.',
    )
    .argument('<file>', 'a new file')
  kmsCommand<object>(exporting, session, {
    examples: ['keyring export keyring.bin'],
    load: async () => (await import('./run-bring.ts')).runExport,
  })
  const importing = keyring
    .command('import')
    .description(
      'Unites the keyring of this node with that of another one. Any seal of this node that has a record in either is enough.',
    )
    .argument('<file>', 'what sealctl kms keyring export wrote')
    .option('--cluster-id <hex>', CLUSTER_ID)
    .option('--label <text>', LABEL)
    .option('--accept-retired', ACCEPT_RETIRED, false)
  kmsCommand<ImportOptions>(importing, session, {
    examples: ['keyring import keyring.bin'],
    load: async () => (await import('./run-bring.ts')).runImport,
  })
}

function addEnroll(keyring: Command, session: Session): void {
  const enroll = keyring.command('enroll').description('Lets the TPM of a further control-plane node in.')
  const request = enroll
    .command('request')
    .description('On the new node: writes a request, and shows the fingerprint that is compared on the other one.')
    .option('--seal <name>', 'the TPM seal of the configuration; left out: the only one')
    .option('--label <text>', 'how people call this node; left out: its host name')
    .requiredOption('--output <file>', 'where the request goes; nothing in it is secret')
  kmsCommand<RequestOptions>(request, session, {
    examples: ['keyring enroll request --output request.json'],
    load: async () => (await import('./run-enroll.ts')).runRequest,
  })
  const approve = enroll
    .command('approve')
    .description('On a node that has the keyring: lets the new one in. Read the fingerprint from the new node itself.')
    .requiredOption('--request <file>', 'the request of the new node; - reads it from a pipe')
    .requiredOption('--label <text>', 'what the new node is called')
    .requiredOption('--output <file>', 'a new file for the keyring that the new node gets')
    .option('--fingerprint <text>', 'as the new node shows it, instead of typing it')
  kmsCommand<ApproveOptions>(approve, session, {
    examples: ['keyring enroll approve --request request.json --label node-b --output keyring.bin'],
    load: async () => (await import('./run-enroll.ts')).runApprove,
  })
  const apply = enroll
    .command('apply')
    .description(
      'On the new node: takes the keyring that the other one has answered with, and makes a record of its own.',
    )
    .argument('<file>', 'what sealctl kms keyring enroll approve wrote')
    .option('--cluster-id <hex>', CLUSTER_ID)
    .option('--label <text>', LABEL)
    .option('--accept-retired', ACCEPT_RETIRED, false)
  kmsCommand<ImportOptions>(apply, session, {
    examples: ['keyring enroll apply keyring.bin --cluster-id 5f1c…'],
    load: async () => (await import('./run-bring.ts')).runImport,
  })
}

function addRecover(keyring: Command, session: Session): void {
  const command = keyring
    .command('recover')
    .description(
      'Makes this node able to open the keyring again, by people with shares or any seal that has a record in it.',
    )
    .option('--keyring <file>', 'a keyring from elsewhere; left out: the one in the store of this node')
    .option('--shares', 'use shares at once, without asking the seals of this node', false)
    .option('--share-file <file>', 'a file with one share or several, instead of a prompt', collect, [])
    .option('--cluster-id <hex>', CLUSTER_ID)
    .option('--label <text>', LABEL)
    .option('--accept-retired', ACCEPT_RETIRED, false)
  kmsCommand<RecoverOptions>(command, session, {
    examples: ['keyring recover --shares', 'keyring recover --keyring keyring.bin --share-file one --share-file two'],
    load: async () => (await import('./run-recover.ts')).runRecover,
  })
}
