import { createHmac, randomBytes } from 'node:crypto'
import { type Secret } from '@sealwright/secret'
import { type TokenFacts } from './channel/facts.ts'
import { Pkcs11Error } from './errors.ts'

/** What a token tells about tries with the user's PIN (CK_TOKEN_INFO; PKCS#11 v2.40, clause 3.2). Not every token does. */
export const CKF_USER_PIN_COUNT_LOW = 0x10000
export const CKF_USER_PIN_FINAL_TRY = 0x20000
export const CKF_USER_PIN_LOCKED = 0x40000

/** What became of a PIN on a token, as far as this process knows. */
type PinHistory =
  | { readonly kind: 'accepted' }
  /** `wasTold`: the token showed afterwards that it counts. */
  | { readonly kind: 'refused'; readonly wasTold: boolean }
  | { readonly kind: 'unanswered'; readonly count: number }

/** A PIN that was never known to be right is sent so often without an answer, and no oftener by itself. */
const MAX_UNANSWERED = 2
/** More PINs than any node has. */
const MAX_HISTORIES = 256

/** One per process, for all members and modules: two of them may name the same token. PINs are in it as keyed hashes only. */
const histories = new Map<string, PinHistory>()
const historyKey = randomBytes(32)

/**
 * Lets a PIN be sent only if it is neither known to be wrong nor the token's last try.
 *
 * Most tokens lock themselves after a few wrong PINs, and count across restarts of ours. What this process remembers keeps it from
 * sending one twice; the token's own flags keep an agent that is restarted again and again from using up the last try. A token
 * that has counted one wrong PIN is still asked: else one slip at a console would close a node.
 *
 * @throws {@link Pkcs11Error} `PKCS11_PIN_LOCKED`, `PKCS11_PIN_HELD_BACK`, `PKCS11_PIN_WRONG`, `PKCS11_PIN_UNKNOWN`.
 */
export function assertPinMayBeSent(token: TokenFacts, pin: Secret): void {
  if (has(token, CKF_USER_PIN_LOCKED)) throw pinLockedError(token)
  if (has(token, CKF_USER_PIN_FINAL_TRY)) {
    throw new Pkcs11Error(
      'PKCS11_PIN_HELD_BACK',
      `the PIN was not sent: the token ${token.label} has one try left before it locks itself. Check the PIN, and log in once ` +
        'with it by another tool',
    )
  }
  const history = histories.get(keyOf(token, pin))
  if (history?.kind === 'refused' && !(history.wasTold && !has(token, CKF_USER_PIN_COUNT_LOW))) {
    throw new Pkcs11Error(
      'PKCS11_PIN_WRONG',
      `the PIN was not sent again: the token ${token.label} has refused it before. Mend the PIN file; if the token's PIN was ` +
        'changed to it, restart this program',
    )
  }
  if (history?.kind === 'unanswered') {
    if (has(token, CKF_USER_PIN_COUNT_LOW)) throw pinUnknownError(token)
    if (history.count >= MAX_UNANSWERED) {
      // Said once: an operator who then asks for another try gets one.
      note(token, pin, { kind: 'unanswered', count: MAX_UNANSWERED - 1 })
      throw pinUnknownError(token)
    }
  }
}

/** The token took it. */
export function notePinAccepted(token: TokenFacts, pin: Secret): void {
  note(token, pin, { kind: 'accepted' })
}

/**
 * The token refused it.
 *
 * @param after - the token as it shows itself now, if it does.
 */
export function notePinRefused(token: TokenFacts, pin: Secret, after: TokenFacts | undefined): void {
  note(token, pin, { kind: 'refused', wasTold: after !== undefined && has(after, CKF_USER_PIN_COUNT_LOW) })
}

/** It was sent, and no answer came. A PIN that was right before is not counted by the token: nothing changes for it. */
export function notePinUnanswered(token: TokenFacts, pin: Secret): void {
  const history = histories.get(keyOf(token, pin))
  if (history?.kind === 'accepted') return
  note(token, pin, { kind: 'unanswered', count: history?.kind === 'unanswered' ? history.count + 1 : 1 })
}

/** The error for a token that locked itself. */
export function pinLockedError(token: TokenFacts, cause?: Pkcs11Error): Pkcs11Error {
  const message = `the token ${token.label} has locked its PIN after too many wrong ones: its security officer has to set it anew`
  return new Pkcs11Error('PKCS11_PIN_LOCKED', message, { cause })
}

function pinUnknownError(token: TokenFacts): Pkcs11Error {
  return new Pkcs11Error(
    'PKCS11_PIN_UNKNOWN',
    `the PIN was sent, and it is not known what became of it: the token ${token.label} may have counted it as a wrong one. Log in ` +
      'once with it by another tool, mend what is wrong, then tell the agent (SIGHUP)',
  )
}

function note(token: TokenFacts, pin: Secret, history: PinHistory): void {
  const key = keyOf(token, pin)
  histories.delete(key)
  histories.set(key, history)
  const [oldest] = histories.keys()
  if (histories.size > MAX_HISTORIES && oldest !== undefined) histories.delete(oldest)
}

function keyOf({ manufacturer, model, serialNumber, label }: TokenFacts, pin: Secret): string {
  const hmac = createHmac('sha256', historyKey).update(JSON.stringify([manufacturer, model, serialNumber, label]))
  return pin.reveal(bytes => hmac.update(bytes).digest('hex'))
}

function has({ flags }: TokenFacts, flag: number): boolean {
  return (flags & flag) !== 0
}
