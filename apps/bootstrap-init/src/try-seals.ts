import { findSealRecords, type Keyring } from '@sealwright/keyring'
import { classifySealFailure, type ConfiguredSeal, openThrough, proveThrough } from '@sealwright/node-seals'
import { type SealFailure } from '@sealwright/unseal'

/**
 * What is known of a seal at the end.
 * - `opens`: it opened what is stored, just now and for real, by the member (the TPM) of this id;
 * - `fails`: it did not;
 * - `not-tried`: it has a PIN and nothing new, so that trying could only cost attempts.
 */
export type SealReport =
  | { readonly name: string; readonly state: 'opens'; readonly memberId: Uint8Array }
  | { readonly name: string; readonly state: 'fails'; readonly failure: SealFailure }
  | { readonly name: string; readonly state: 'not-tried' }

/** The seals that this run did not prove to open what is stored: while there is one, nobody should destroy the seal key. */
export function unprovenSeals(reports: readonly SealReport[]): readonly Exclude<SealReport, { state: 'opens' }>[] {
  return reports.filter(report => report.state !== 'opens')
}

/** Which seals to try on what. */
export interface Trial {
  readonly seals: readonly ConfiguredSeal[]
  readonly keyring: Keyring
  /** Names of the seals that must be tried, PIN or not: they were given a record just now. */
  readonly enrolled: ReadonlySet<string>
  /** Seals that did not answer a moment ago. They are not asked again: a TPM that hangs costs its deadline each time. */
  readonly unreachable: ReadonlyMap<string, SealFailure>
  /** Try each seal with a PIN too, although it got no record: somebody has asked whether it opens. */
  readonly tryPins: boolean
  readonly signal: AbortSignal
}

/** Opens `keyring` through each seal, for real, one after the other. */
export async function trySeals({
  seals,
  keyring,
  enrolled,
  unreachable,
  tryPins,
  signal,
}: Trial): Promise<SealReport[]> {
  const reports: SealReport[] = []
  for (const seal of seals) {
    const { name } = seal
    const known = unreachable.get(name)
    const mayTry = !seal.hasPin || tryPins || enrolled.has(name) || isTooWeak(seal, keyring)
    if (known !== undefined) reports.push({ name, state: 'fails', failure: known })
    else if (!mayTry) reports.push({ name, state: 'not-tried' })
    else reports.push(await trySeal(seal, keyring, { isEnrolled: enrolled.has(name), signal }))
  }
  return reports
}

/** Whether each record of a seal is refused before a PIN is used: then the agent would not open it either, and must not be promised. */
function isTooWeak(seal: ConfiguredSeal, keyring: Keyring): boolean {
  const records = findSealRecords(keyring, seal.name)
  return records.length > 0 && records.every(({ sealedKek }) => seal.compareConditions(sealedKek) === 'weaker')
}

async function trySeal(
  seal: ConfiguredSeal,
  keyring: Keyring,
  { isEnrolled, signal }: { readonly isEnrolled: boolean; readonly signal: AbortSignal },
): Promise<SealReport> {
  const { name } = seal
  let memberId = new Uint8Array()
  const noticed: ConfiguredSeal = {
    ...seal,
    withRecordedMember: async (known, stop, use) =>
      await seal.withRecordedMember(known, stop, async (member, sealId) => {
        memberId = Uint8Array.from(member.memberId)
        return await use(member, sealId)
      }),
  }
  try {
    if (isEnrolled) await proveThrough(noticed, { keyring }, signal)
    else (await openThrough(noticed, keyring, signal)).close()
    return { name, state: 'opens', memberId }
  } catch (error) {
    signal.throwIfAborted()
    return { name, state: 'fails', failure: classifySealFailure(error) }
  }
}
