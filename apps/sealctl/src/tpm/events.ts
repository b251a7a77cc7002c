import { describeEvent, eventsOfPcr, replayPcr } from '@sealwright/boot-log'
import { hex } from '@sealwright/bytes'
import { type TpmSealConfig } from '@sealwright/node-config'
import { tpmAccess } from '@sealwright/node-seals'
import { readPcrs } from '@sealwright/tpm'
import { PCR_COUNT } from '@sealwright/tpm-wire'
import { type CommandResult } from '../command.ts'
import { table } from '../render/plain.ts'
import { readEventLog } from './read-event-log.ts'

/**
 * Shows what makes up the PCRs according to an event log.
 *
 * @param input.pcrs - absent: all that the log extends.
 * @param input.seal - whose TPM is asked what it has; absent: none is asked.
 * @throws {TpmCommandError} `TPM_COMMAND_INPUT_UNREADABLE`; {BootLogError}, {TpmError}.
 */
export async function listEvents(
  input: { readonly eventLogPath: string; readonly pcrs?: readonly number[]; readonly seal: TpmSealConfig | undefined },
  signal: AbortSignal,
): Promise<CommandResult> {
  const log = await readEventLog(input.eventLogPath)
  const all = Array.from({ length: PCR_COUNT }, (_, pcr) => pcr)
  const pcrs = input.pcrs ?? all.filter(pcr => eventsOfPcr(log, pcr).length > 0)
  const { seal } = input
  const present = seal === undefined || pcrs.length === 0 ? [] : await readPcrs(tpmAccess(seal), pcrs, { signal })
  const shown = pcrs.map(pcr => {
    const replayed = hex(replayPcr(log, pcr).value)
    const current = present.find(({ index }) => index === pcr)
    const events = eventsOfPcr(log, pcr).map(event => ({ sha256: hex(event.digest), what: describeEvent(event) }))
    const isComplete = current === undefined ? undefined : hex(current.value) === replayed
    return { pcr, sha256: replayed, ...(isComplete === undefined ? {} : { isComplete }), events }
  })
  return {
    text: table(
      shown.flatMap(({ pcr, sha256, isComplete, events }) => [
        ...events.map((event, index) => [`${pcr}:${index}`, event.sha256, event.what]),
        [`PCR ${pcr}`, sha256, completeness(isComplete)],
      ]),
    ),
    json: { eventLog: input.eventLogPath, pcrs: shown },
  }
}

function completeness(isComplete: boolean | undefined): string {
  if (isComplete === undefined) return 'by this log'
  return isComplete ? 'by this log, and so has the TPM' : 'by this log; THE TPM HAS ANOTHER: more was measured'
}
