import { type BootLog, type EventReplacement, replayPcr } from '@sealwright/boot-log'
import { hex, sameBytes } from '@sealwright/bytes'
import { type NodeConfig } from '@sealwright/node-config'
import {
  createPoliciesFile,
  readPoliciesFileIfAny,
  signedSealOf,
  type SignedTpmSealConfig,
  tpmAccess,
} from '@sealwright/node-seals'
import { pcrsOfPolicies, policyDigestOf, predictPolicy } from '@sealwright/pcr-policies'
import { readPcrs } from '@sealwright/tpm'
import { type PcrValue } from '@sealwright/tpm-wire'
import { type CommandResult } from '../command.ts'
import { table } from '../render/plain.ts'
import { TpmCommandError } from './errors.ts'
import { forgeableNote } from './forgeable-note.ts'
import { readEventLog } from './read-event-log.ts'

/** Where a predicted value comes from. */
type ValueSource = 'present' | 'given' | 'events'

const SOURCE_TEXTS: Readonly<Record<ValueSource, string>> = {
  present: 'as it is now',
  given: 'as given',
  events: 'event log, with events replaced',
}

/** What a prediction is made of. */
export interface PredictInput {
  readonly config: NodeConfig
  readonly sealName: string
  /** Ascending; absent: those of the policies that the node has. */
  readonly pcrs?: readonly number[]
  /** Values that somebody else has worked out. */
  readonly given: readonly PcrValue[]
  readonly replacements: readonly EventReplacement[]
  readonly eventLogPath: string
  readonly label: string
  /** Absent: the configured one. */
  readonly reference?: string
  /** Where the policy is written; nothing may be there. */
  readonly outPath: string
  readonly now: Date
}

/**
 * Writes down the state that a machine shall be in: as it is, but for what is given or recomputed from the event log. Nobody has approved
 * it until it is signed.
 *
 * @throws {@link TpmCommandError} `TPM_COMMAND_NO_PCRS`, `TPM_COMMAND_PCR_CONFLICT`, `TPM_COMMAND_LOG_DISAGREES`,
 *   `TPM_COMMAND_INPUT_UNREADABLE`; {SignedPolicyError}, {PcrPoliciesError}, {BootLogError}, {TpmError}.
 */
export async function predict(input: PredictInput, signal: AbortSignal): Promise<CommandResult> {
  const { config, sealName, given, replacements, eventLogPath, label, outPath, now } = input
  const seal = signedSealOf(config, sealName)
  const pcrs = input.pcrs ?? (await pcrsInUse(seal))
  assertNoConflict(pcrs, given, replacements)
  const present = await readPcrs(tpmAccess(seal), pcrs, { signal })
  const log = replacements.length === 0 ? undefined : await readEventLog(eventLogPath)
  const rows = present.map(pcr => predictValue(pcr, { given, replacements, log }))
  const { reference = seal.signedPolicy.reference } = input
  const policy = predictPolicy({ label, reference, values: rows, createdAtMs: now.getTime() })
  await createPoliciesFile(outPath, [policy])
  const values = rows.map(({ index, value, source }) => ({ pcr: index, sha256: hex(value), source }))
  return {
    text:
      table([
        ['PCR', 'SHA-256', ''],
        ...values.map(({ pcr, sha256, source }) => [String(pcr), sha256, SOURCE_TEXTS[source]]),
      ]) +
      `\n${outPath}: ${label}, for the reference ${reference}; nobody has approved it yet. Compare the values with what you expect, then\n` +
      `sign it where the private key is: sealctl tpm sign ${outPath} --key KEY.pem --out SIGNED.json\n${forgeableNote([policy])}`,
    json: { file: outPath, label, reference, pcrs: values, policy: hex(policyDigestOf(policy)) },
  }
}

async function pcrsInUse({ name, signedPolicy }: SignedTpmSealConfig): Promise<readonly number[]> {
  const { policies } = await readPoliciesFileIfAny(signedPolicy.policiesFile)
  const pcrs = pcrsOfPolicies(policies)
  if (pcrs.length > 0) return pcrs
  throw new TpmCommandError(
    'TPM_COMMAND_NO_PCRS',
    `the seal ${name} has no policies yet that would tell its PCRs: name them, such as --pcrs 7`,
  )
}

function assertNoConflict(
  pcrs: readonly number[],
  given: readonly PcrValue[],
  replacements: readonly EventReplacement[],
): void {
  const named = [...given.map(({ index }) => index), ...new Set(replacements.map(({ pcr }) => pcr))]
  const stray = named.find(pcr => !pcrs.includes(pcr))
  const doubled = named.find((pcr, position) => named.indexOf(pcr) !== position)
  if (stray !== undefined) {
    throw new TpmCommandError(
      'TPM_COMMAND_PCR_CONFLICT',
      `PCR ${stray} has a value, yet it is not among the PCRs ${pcrs.join(', ')}`,
    )
  }
  if (doubled !== undefined) {
    throw new TpmCommandError('TPM_COMMAND_PCR_CONFLICT', `PCR ${doubled} has two values: give one, or replace events`)
  }
  const events = replacements.map(({ pcr, index }) => `${pcr}:${index}`)
  const twice = events.find((event, position) => events.indexOf(event) !== position)
  if (twice === undefined) return
  throw new TpmCommandError('TPM_COMMAND_PCR_CONFLICT', `the event ${twice} is replaced twice`)
}

function predictValue(
  present: PcrValue,
  by: {
    readonly given: readonly PcrValue[]
    readonly replacements: readonly EventReplacement[]
    readonly log: BootLog | undefined
  },
): PcrValue & { readonly source: ValueSource } {
  const { index } = present
  const given = by.given.find(pcr => pcr.index === index)
  if (given !== undefined) return { ...given, source: 'given' }
  if (by.log === undefined || !by.replacements.some(({ pcr }) => pcr === index))
    return { ...present, source: 'present' }
  const replayed = replayPcr(by.log, index)
  if (!sameBytes(replayed.value, present.value)) {
    throw new TpmCommandError(
      'TPM_COMMAND_LOG_DISAGREES',
      `the event log adds up to ${hex(replayed.value)} in PCR ${index}, and the TPM has ${hex(present.value)}: something that is not in ` +
        `this log was measured, so it cannot be predicted from it; give the value with --pcr ${index}=HEX`,
    )
  }
  return { ...replayPcr(by.log, index, by.replacements), source: 'events' }
}
