import { isUtf8 } from 'node:buffer'
import { type Secret } from '@sealwright/secret'
import { type TokenAccess } from './access.ts'
import { type TokenFacts } from './channel/facts.ts'
import { CKR_PIN_INCORRECT, CKR_PIN_LOCKED, INVALID_PIN, STALE } from './ckr.ts'
import { type Deadline, startDeadline, within } from './deadline.ts'
import { bareCkrOf, Pkcs11Error, withMeaning } from './errors.ts'
import { type ReadyProcess } from './module.ts'
import { assertPinMayBeSent, notePinAccepted, notePinRefused, notePinUnanswered, pinLockedError } from './pin-memory.ts'

/** CKF_LOGIN_REQUIRED (CK_TOKEN_INFO; PKCS#11 v2.40, clause 3.2). */
const CKF_LOGIN_REQUIRED = 0x4

type LogIn = {
  readonly ready: ReadyProcess
  readonly token: TokenFacts
  readonly access: TokenAccess
  readonly deadline: Deadline
}

/**
 * Opens sessions and logs in, unless this process has done so already. Whoever comes meanwhile waits for the one who began: a wrong PIN
 * must not be tried twice because two callers came together.
 *
 * @throws {@link Pkcs11Error} `PKCS11_PIN_…` and those of the process.
 */
export async function logInOnce(options: LogIn): Promise<void> {
  const { ready, token, deadline } = options
  const slot = Buffer.from(token.slot).toString('hex')
  const login = ready.logins.get(slot) ?? begin(slot, options)
  try {
    await within(login, deadline, `logging in to the token ${token.label}`)
  } catch (error) {
    if (deadline.signal.aborted && !deadline.isCancelled()) ready.process.kill()
    throw error
  }
}

function begin(slot: string, options: LogIn): Promise<void> {
  const { logins } = options.ready
  const login = logIn(options)
  logins.set(slot, login)
  login.catch(() => {
    if (logins.get(slot) === login) logins.delete(slot)
  })
  return login
}

/**
 * Goes on when the caller stops waiting, with a PIN and a limit of its own: a login that is broken off leaves open whether the token
 * counted it.
 */
async function logIn({ ready, token, access }: LogIn): Promise<void> {
  const deadline = startDeadline(access.timeoutMs, new AbortController().signal)
  if ((token.flags & CKF_LOGIN_REQUIRED) === 0) {
    await openSessions(ready, token, access, deadline)
    return
  }
  if (access.pin === undefined) {
    throw new Pkcs11Error('PKCS11_PIN_REQUIRED', `the token ${token.label} wants a PIN, and none is given: set pinFile`)
  }
  const pin = access.pin.clone()
  try {
    if (!pin.reveal(isUtf8)) {
      throw new Pkcs11Error(
        'PKCS11_PIN_INVALID',
        'the PIN was not sent: it is not in UTF-8, as every PIN of PKCS#11 is',
      )
    }
    assertPinMayBeSent(token, pin)
    await openSessions(ready, token, access, deadline)
    await sendPin(ready, token, pin, deadline)
    notePinAccepted(token, pin)
  } finally {
    pin.wipe()
  }
}

async function openSessions(
  ready: ReadyProcess,
  { slot }: TokenFacts,
  { module }: TokenAccess,
  deadline: Deadline,
): Promise<void> {
  await ready.process.call('openSessions', { slot, count: module.sessionCount }, deadline)
}

async function sendPin(ready: ReadyProcess, token: TokenFacts, pin: Secret, deadline: Deadline): Promise<void> {
  const { slot } = token
  try {
    await pin.reveal(bytes => ready.process.call('logIn', { slot, pin: bytes }, deadline))
  } catch (error) {
    if (!(error instanceof Pkcs11Error)) throw error
    const ckr = bareCkrOf(error)
    if (ckr === undefined) {
      notePinUnanswered(token, pin)
      throw error
    }
    if (ckr === CKR_PIN_LOCKED) throw pinLockedError(token, error)
    if (INVALID_PIN.has(ckr)) {
      throw withMeaning(
        'PKCS11_PIN_INVALID',
        `the token ${token.label} cannot take this PIN (${error.message}): check its length, and whether a PIN was set`,
        error,
      )
    }
    if (ckr !== CKR_PIN_INCORRECT) {
      // What is not about what we hold says nothing of the PIN either.
      if (!STALE.has(ckr)) notePinUnanswered(token, pin)
      throw error
    }
    notePinRefused(token, pin, await lookAgain(ready, token, deadline))
    throw withMeaning(
      'PKCS11_PIN_WRONG',
      `the token ${token.label} refused the PIN, and may have counted it: mend the PIN file, then tell the agent (SIGHUP)`,
      error,
    )
  }
}

/** The same token as it shows itself now. */
async function lookAgain(
  ready: ReadyProcess,
  { slot }: TokenFacts,
  deadline: Deadline,
): Promise<TokenFacts | undefined> {
  try {
    const tokens = await ready.process.call('listTokens', {}, deadline)
    return tokens.find(token => Buffer.compare(token.slot, slot) === 0)
  } catch (error) {
    // Without its flags the PIN counts as refused for good, which is the careful reading.
    if (error instanceof Pkcs11Error) return undefined
    throw error
  }
}
