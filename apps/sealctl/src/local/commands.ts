import { type Command } from 'commander'
import { collect, type CommandResult, type Session } from '../command.ts'
import { localCommand, type LocalOptions } from './local-command.ts'

/** What `sealctl recover` is told. */
export interface RecoverOptions {
  readonly snapshot?: string
  readonly keyring?: string
  readonly shares: boolean
  readonly shareFile: readonly string[]
  readonly clusterId?: string
  readonly label?: string
}

/** Adds `sealctl recover`. What it needs is loaded when it is called: it is more than all the rest. */
export function addRecover(program: Command, session: Session): void {
  const command = program
    .command('recover')
    .description(
      'Makes this machine able to open a cluster, from a snapshot or a keyring and any one seal: a seal of its configuration, or shares.',
    )
    .option('--snapshot <file>', 'a raft snapshot of the cluster')
    .option('--keyring <file>', 'a keyring: sealctl keyring export, or the store of another node')
    .option('--shares', 'use shares at once, without asking the seals of this node', false)
    .option('--share-file <file>', 'a file with one share or several, instead of a prompt', collect, [])
    .option(
      '--cluster-id <hex>',
      'the cluster that it must be, as bootstrap-init and share cards have it; left out: clusterId of the configuration',
    )
  command.option('--label <text>', "OpenBao's node_id of this node, for a TPM that is new; left out: its host name")
  localCommand(command, session, {
    examples: [
      'recover --snapshot backup.snap --label node-a',
      'recover --keyring keyring.bin --shares --share-file one --share-file two',
    ],
    async action(): Promise<CommandResult> {
      const { runRecover } = await import('./run-recover.ts')
      return await runRecover(command.opts<LocalOptions & RecoverOptions>(), session.context)
    },
  })
}

/** What `sealctl enroll request` is told. */
export interface EnrolRequestOptions {
  readonly seal?: string
  readonly label?: string
  readonly output: string
}

/** What `sealctl enroll apply` is told. */
export interface EnrolApplyOptions {
  readonly keyring: string
  readonly clusterId?: string
}

/** Adds the two steps of an enrolment that happen on the new node. */
export function addEnrolment(enroll: Command, session: Session): void {
  const request = enroll
    .command('request')
    .description(
      'On the new node: writes a request for a live node, and shows the fingerprint that its operator compares.',
    )
    .option('--seal <name>', 'the TPM seal of the configuration; left out: the only one')
    .option('--label <text>', 'how people call this node; left out: its host name')
    .requiredOption('--output <file>', 'where the request goes; nothing in it is secret')
  localCommand(request, session, {
    examples: ['enroll request --output request.json'],
    async action(): Promise<CommandResult> {
      const { runEnrolRequest } = await import('./run-enrol.ts')
      return await runEnrolRequest(request.opts<LocalOptions & EnrolRequestOptions>(), session.context)
    },
  })
  const apply = enroll
    .command('apply')
    .description(
      'On the new node: takes the keyring that the live node has answered with, makes a record of its own, writes the store.',
    )
    .requiredOption('--keyring <file>', 'what sealctl enroll approve wrote')
    .option('--cluster-id <hex>', 'the cluster that it must be; left out: clusterId of the configuration')
  localCommand(apply, session, {
    examples: ['enroll apply --keyring keyring.bin --cluster-id 5f1c…'],
    async action(): Promise<CommandResult> {
      const { runEnrolApply } = await import('./run-enrol.ts')
      return await runEnrolApply(apply.opts<LocalOptions & EnrolApplyOptions>(), session.context)
    },
  })
}

/** What `sealctl audit verify` is told. */
export interface AuditVerifyOptions {
  readonly directory?: string
  readonly expect?: string
  readonly checkpoints: boolean
}

/** Adds `sealctl audit verify`. */
export function addAudit(program: Command, session: Session): void {
  const verify = program
    .command('audit')
    .description('The audit log of an agent.')
    .command('verify')
    .description('Reads the whole log, and says where it was changed, cut or reordered. Ends with 2 if it was.')
    .option('--directory <path>', 'the folder of the log; left out: agent.auditDirectory of the configuration')
    .option('--expect <position>', 'a position that was noted earlier, NUMBER:HASH: the log must have that line')
    .option(
      '--checkpoints',
      'also check what vouches for the lines, with keys from the store of this node: a seal of its configuration opens it',
      false,
    )
  localCommand(verify, session, {
    examples: [
      'audit verify',
      'audit verify --checkpoints',
      'audit verify --expect 4711:5f1c…',
      'audit verify --directory /mnt/copy/audit',
    ],
    async action(): Promise<CommandResult> {
      const { runAuditVerify } = await import('./run-audit.ts')
      return await runAuditVerify(verify.opts<LocalOptions & AuditVerifyOptions>(), session.context)
    },
  })
}
