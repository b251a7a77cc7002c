import { type PcrValue, SHA256_BYTES, sha256 } from '@sealwright/tpm-wire'
import { BootLogError } from './errors.ts'
import { type BootEvent, type BootLog } from './parse.ts'

/** First and last of the PCRs that begin with ones: those of a dynamic launch (TCG PC Client Platform TPM Profile, "PCR Attributes"). */
const FIRST_DYNAMIC_PCR = 17
const LAST_DYNAMIC_PCR = 22

/** A digest to put in the place of one that was measured. */
export interface EventReplacement {
  readonly pcr: number
  /** Counts the extends of this PCR alone, from 0, as {@link eventsOfPcr} gives them. */
  readonly index: number
  /** 32 bytes. */
  readonly digest: Uint8Array
}

/** An event that was extended. */
export type ExtendedEvent = BootEvent & { readonly digest: Uint8Array }

/** What was extended into one PCR, in order. */
export function eventsOfPcr({ events }: BootLog, pcr: number): readonly ExtendedEvent[] {
  return events.filter((event): event is ExtendedEvent => event.pcr === pcr && event.digest !== undefined)
}

/**
 * What a PCR of the SHA-256 bank holds when nothing but this log was extended into it: what the operating system measures later is in
 * no firmware log.
 *
 * @param replacements - of events of this PCR; those of others are left alone.
 * @throws {@link BootLogError} `BOOT_LOG_NO_SUCH_EVENT`.
 */
export function replayPcr(log: BootLog, pcr: number, replacements: readonly EventReplacement[] = []): PcrValue {
  const events = eventsOfPcr(log, pcr)
  const replaced = new Map(replacements.filter(each => each.pcr === pcr).map(({ index, digest }) => [index, digest]))
  for (const index of replaced.keys()) {
    if (events[index] === undefined) {
      throw new BootLogError(
        'BOOT_LOG_NO_SUCH_EVENT',
        `PCR ${pcr} has ${events.length} events in this log, so there is no ${pcr}:${index}: see sealctl tpm events`,
      )
    }
  }
  const value = events.reduce(
    (before, { digest }, index) => sha256(before, replaced.get(index) ?? digest),
    initialValue(pcr, log.startupLocality),
  )
  return { index: pcr, value }
}

/** TPM2_Startup(CLEAR) from locality 0, 3 or 4 (Part 1, clause "Initialization"): PCR 0 keeps the locality in its last byte. */
function initialValue(pcr: number, startupLocality: number): Uint8Array {
  const value = new Uint8Array(SHA256_BYTES)
  if (pcr === 0) value[SHA256_BYTES - 1] = startupLocality
  if (pcr >= FIRST_DYNAMIC_PCR && pcr <= LAST_DYNAMIC_PCR) value.fill(0xff)
  return value
}
