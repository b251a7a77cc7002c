import { type ChainPosition } from '@sealwright/audit'
import { type AuditVerification, type LogSummary, verifyAuditLog } from '@sealwright/audit-log'
import { loadNodeConfig } from '@sealwright/program'
import { type CommandResult } from '../command.ts'
import { type CommandContext } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { type AuditVerifyOptions } from './commands.ts'
import { type LocalOptions } from './local-command.ts'

/** `sealctl audit verify`. */
export async function runAuditVerify(
  options: LocalOptions & AuditVerifyOptions,
  { signal }: CommandContext,
): Promise<CommandResult> {
  const expectedHead = headOf(options.expect)
  // A log that was copied elsewhere has no node beside it.
  const directory = options.directory ?? (await loadNodeConfig(options.config)).agent.auditDirectory
  const verification = await verifyAuditLog(directory, {
    signal,
    ...(expectedHead === undefined ? {} : { expectedHead }),
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

function summaryText({ begins, last, tally, expectedHead }: LogSummary): string {
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
    ...(checkpoints.unchecked > 0 ? [`checkpoints  ${checkpoints.unchecked}, not checked`] : []),
  ].join('\n')
}

/** A position as {@link summaryText} prints it. */
function headOf(text: string | undefined): ChainPosition | undefined {
  if (text === undefined) return undefined
  const [, sequence, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? []
  if (sequence !== undefined && hash !== undefined) return { sequence: Number(sequence), hash }
  throw new SealctlError('SEALCTL_USAGE', '--expect must be NUMBER:HASH, as sealctl audit verify prints it')
}
