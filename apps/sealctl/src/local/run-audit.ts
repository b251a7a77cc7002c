import { type AuditTally, type ChainPosition } from '@sealwright/audit'
import { type AuditVerification, type LogSummary, verifyAuditLog } from '@sealwright/audit-log'
import { assertOrigin, OpenKeyring } from '@sealwright/keyring'
import { readStoredKeyring, unwrapThroughAny } from '@sealwright/node-seals'
import { loadNodeConfig } from '@sealwright/program'
import { type CommandResult } from '../command.ts'
import { type CommandContext } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { expectedCluster } from './cluster-id.ts'
import { type AuditVerifyOptions } from './commands.ts'
import { LocalError } from './errors.ts'
import { type LocalOptions } from './local-command.ts'
import { openNode } from './open-node.ts'

/** `sealctl audit verify`. */
export async function runAuditVerify(
  options: LocalOptions & AuditVerifyOptions,
  { signal }: CommandContext,
): Promise<CommandResult> {
  const expectedHead = headOf(options.expect)
  // A log that was copied elsewhere has no node beside it.
  const directory = options.directory ?? (await loadNodeConfig(options.config)).agent.auditDirectory
  using keyring = options.checkpoints ? await openStored(options.config, signal) : undefined
  const verification = await verifyAuditLog(directory, {
    signal,
    ...(expectedHead === undefined ? {} : { expectedHead }),
    ...(keyring === undefined ? {} : { findCheckpointKey: (keyId: string) => keyring.auditKey(keyId) }),
  })
  const isSound = verification.kind !== 'broken' && !isExpectationMissed(verification)
  return {
    json: { directory, ...verification },
    text: `${textOf(verification, directory)}\n`,
    exitCode: isSound ? EXIT_CODES.done : EXIT_CODES.notReady,
  }
}

function isExpectationMissed(verification: AuditVerification): boolean {
  return verification.kind !== 'empty' && verification.summary.expectedHead === 'not-met'
}

function textOf(verification: AuditVerification, directory: string): string {
  switch (verification.kind) {
    case 'empty':
      return `there is no audit log in ${directory}`
    case 'intact':
      return `intact\n${summaryText(verification.summary)}`
    case 'unfinished-end':
      return `intact, with ${verification.bytes} bytes of an unfinished line behind it: a crash, or one that is being written now\n${summaryText(verification.summary)}`
    case 'broken': {
      const { kind, segment, line, sequence } = verification.fault
      return (
        `BROKEN: ${kind} at line ${line} of segment ${segment}, where line ${sequence} of the log belongs\n` +
        `before it:\n${summaryText(verification.summary)}`
      )
    }
  }
}

function summaryText({ begins, last, tally, expectedHead, checkpointsChecked }: LogSummary): string {
  const { lines, breaksNoted, eventsLost, unfinishedEnds, checkpoints } = tally
  return [
    `lines        ${lines}${begins.kind === 'later-segment' ? `, from segment ${begins.segment}: earlier ones were removed` : ''}`,
    `last         ${last.sequence}:${last.hash}  (note it elsewhere: --expect shows later that nothing before it was rewritten)`,
    ...(expectedHead === 'not-given'
      ? []
      : [`expected     ${expectedHead === 'met' ? 'is in the log' : 'IS NOT IN THE LOG'}`]),
    ...(breaksNoted > 0 ? [`breaks       ${breaksNoted}: the agent itself found the log changed when it started`] : []),
    ...(eventsLost > 0 ? [`lost         ${eventsLost} events, for want of a disk`] : []),
    ...(unfinishedEnds > 0 ? [`crashes      ${unfinishedEnds} left an unfinished line`] : []),
    ...checkpointLines(checkpoints, checkpointsChecked),
  ].join('\n')
}

function checkpointLines({ genuine, unchecked, vouchedUpTo }: AuditTally['checkpoints'], isChecked: boolean): string[] {
  if (!isChecked) return unchecked > 0 ? [`checkpoints  ${unchecked}, not checked: see --checkpoints`] : []
  const others = unchecked > 0 ? `; ${unchecked} of keys that this node does not open any more` : ''
  return [
    genuine === 0
      ? `checkpoints  NONE IS GENUINE: anybody can have written this log${others}`
      : `checkpoints  ${genuine} genuine: nobody without the seal key has changed line 1 to ${vouchedUpTo}${others}`,
  ]
}

/** The keyring in the store of this node, opened by a seal. Whoever can rewrite the log may have written the store, too: it must prove itself. */
async function openStored(configPath: string, signal: AbortSignal): Promise<OpenKeyring> {
  await using node = await openNode(configPath)
  const keyring = await readStoredKeyring(node.config.store)
  const clusterId = expectedCluster(keyring, undefined, node.config)
  const failures: string[] = []
  const opened = await unwrapThroughAny(node.seals, keyring, {
    signal,
    onFailure: ({ sealName, code }) => failures.push(`${sealName}: ${code}`),
  })
  if (opened === undefined) {
    throw new LocalError(
      'LOCAL_NOT_OPENED',
      `no seal of this node opens its store now, so there is no key to check with (${failures.join(', ') || 'none is configured'})`,
    )
  }
  using sealKeys = opened.sealKeys
  const open = OpenKeyring.from(keyring, sealKeys)
  assertOrigin(open, clusterId)
  return open
}

/** A position as {@link summaryText} prints it. */
function headOf(text: string | undefined): ChainPosition | undefined {
  if (text === undefined) return undefined
  const [, sequence, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? []
  if (sequence !== undefined && hash !== undefined) return { sequence: Number(sequence), hash }
  throw new SealctlError('SEALCTL_USAGE', '--expect must be NUMBER:HASH, as sealctl audit verify prints it')
}
