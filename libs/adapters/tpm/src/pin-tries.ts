import { TPM_PT_LOCKOUT_COUNTER, TPM_PT_LOCKOUT_INTERVAL, TPM_PT_MAX_AUTH_FAIL } from '@sealwright/tpm-wire'

import { type Session } from './authorization.ts'
import { readProperties } from './commands/capability.ts'
import { type TpmConnection } from './connection.ts'
import { TpmError, type TpmErrorCode, causedBy, lockoutError } from './errors.ts'

/**
 * Lets a PIN be sent only while a wrong one would not lead to lockout.
 *
 * A restart forgets that a PIN was refused, so it is the TPM's own counter that has to keep an agent which is restarted again
 * and again from locking it. The counter is not only about PINs: each power cut after the object was used counts as well. Holding
 * back at the first count would close a node for the first power cut, so that all tries but the last are used. The last one
 * is left to somebody who knows the PIN. It never closes a node for good: nothing is sent, so the agent may look again, and
 * the TPM takes one off its counter at each interval.
 *
 * @param session - salted: the answer carries its HMAC, so that nobody on the bus can talk the counter down.
 * @throws {@link TpmError} `TPM_PIN_HELD_BACK`, `TPM_LOCKOUT`.
 */
export async function assertTriesLeft(tpm: TpmConnection, session: Session): Promise<void> {
  const properties = await readProperties(tpm, TPM_PT_LOCKOUT_COUNTER, PROPERTY_COUNT, session)
  const property = (tag: number): number => {
    const value = properties.get(tag)
    if (value === undefined) throw new TpmError('TPM_PROTOCOL', `the TPM does not tell property 0x${tag.toString(16)}`)
    return value
  }
  const counter = property(TPM_PT_LOCKOUT_COUNTER)
  const maxAuthFail = property(TPM_PT_MAX_AUTH_FAIL)
  if (counter >= maxAuthFail) throw lockoutError()
  // A TPM that allows a single try has none to spare.
  if (counter < Math.max(1, maxAuthFail - 1)) return
  throw new TpmError(
    'TPM_PIN_HELD_BACK',
    `the PIN was not sent: the TPM counts ${counter} failed tries (wrong PINs, or power cuts while it was in use), and locks itself ` +
      `at ${maxAuthFail}. Check the PIN, then reset the counter (tpm2_dictionarylockout --clear-lockout), or wait: it goes down by ` +
      `one every ${property(TPM_PT_LOCKOUT_INTERVAL)} s`,
  )
}

const PROPERTY_COUNT = TPM_PT_LOCKOUT_INTERVAL - TPM_PT_LOCKOUT_COUNTER + 1

/**
 * What is left as it is after an attempt with a PIN: either it says that the PIN was not tried, since nothing was sent or the TPM
 * answered "not now"; or it says already what became of it.
 */
const CERTAIN_CODES: ReadonlySet<TpmErrorCode> = new Set<TpmErrorCode>([
  'TPM_BUSY',
  'TPM_LOCKOUT',
  'TPM_TIMEOUT',
  'TPM_CANCELLED',
  'TPM_GONE',
  'TPM_PIN_UNKNOWN',
])

/** `error`, unless it leaves open what became of a PIN that was sent: then `TPM_PIN_UNKNOWN`. */
export function unlessPinIsUnknown(error: unknown): unknown {
  return error instanceof TpmError && !CERTAIN_CODES.has(error.code) ? pinUnknownError(error) : error
}

/** The error for a PIN that was sent, and no answer tells whether the TPM refused and counted it. */
export function pinUnknownError(cause: unknown): TpmError {
  const why = cause instanceof Error ? cause.message : 'no answer'
  return new TpmError(
    'TPM_PIN_UNKNOWN',
    `the PIN was sent, and it is not known what became of it (${why}): the TPM may have counted it as a wrong one. Look at its ` +
      'lockout counter (tpm2_getcap properties-variable), mend what is wrong, then tell the agent (SIGHUP)',
    causedBy(cause),
  )
}
