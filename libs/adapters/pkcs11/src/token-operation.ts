import { type KeySelector, type Pkcs11Access, type TokenAccess } from './access.ts'
import { type KeyFacts, type TokenFacts } from './channel/facts.ts'
import { type KeyQuery, type Operation, type Requests, type Answers } from './channel/requests.ts'
import { chooseKey, chooseToken } from './choose.ts'
import { CKR_USER_NOT_LOGGED_IN, REMOVED, STALE, UNSUPPORTED, WRONG_KEY } from './ckr.ts'
import { type Deadline, startDeadline } from './deadline.ts'
import { bareCkrOf, Pkcs11Error, type Pkcs11ErrorCode, withMeaning } from './errors.ts'
import { logInOnce } from './log-in.ts'
import { type ReadyProcess } from './module.ts'

/** A token with sessions open and, where it wants that, logged in to. */
export type OpenToken = {
  readonly token: TokenFacts
  readonly moduleDescription: string
  /** Sends one request under the deadline of the operation. */
  call<O extends Operation>(operation: O, request: Requests[O]): Promise<Answers[O]>
}

/** A key on an open token. */
export type OpenKey = OpenToken & { readonly key: KeyFacts }

/** A caller's signal: it ends our waiting, with `PKCS11_CANCELLED`. */
export type CallOptions = { readonly signal: AbortSignal }

/**
 * Opens the token, and runs `use` on it.
 *
 * If what we held turns out stale (the token was pulled out and put back, a session was lost, somebody logged us out), all is
 * opened anew and `use` runs once more, under the same deadline.
 *
 * @throws {@link Pkcs11Error}.
 */
export async function withToken<T>(
  access: TokenAccess,
  { signal }: CallOptions,
  use: (token: OpenToken) => Promise<T>,
): Promise<T> {
  const deadline = startDeadline(access.timeoutMs, signal)
  try {
    return await attempt(access, deadline, use)
  } catch (error) {
    if (!STALE.has(bareCkrOf(error) ?? NO_CKR)) throw await settled(access, error)
  }
  try {
    return await attempt(access, deadline, use)
  } catch (error) {
    throw await settled(access, error)
  }
}

/** As {@link withToken}, with the key found and good for the mechanism. */
export async function withKey<T>(
  access: Pkcs11Access,
  options: CallOptions,
  use: (key: OpenKey) => Promise<T>,
): Promise<T> {
  return await withToken(access, options, async open => {
    const keys = await open.call('findKeys', { slot: open.token.slot, query: queryOf(access.key) })
    return await use({ ...open, key: chooseKey(keys, access.key, access.mechanism) })
  })
}

/** Not a return value. */
const NO_CKR = -1

async function attempt<T>(access: TokenAccess, deadline: Deadline, use: (token: OpenToken) => Promise<T>): Promise<T> {
  const ready = await access.module.ready(deadline)
  const token = chooseToken(await ready.process.call('listTokens', {}, deadline), access.token)
  await logInOnce({ ready, token, access, deadline })
  try {
    return await use({
      token,
      moduleDescription: moduleDescriptionOf(ready),
      call: (operation, request) => ready.process.call(operation, request, deadline),
    })
  } catch (error) {
    if (STALE.has(bareCkrOf(error) ?? NO_CKR)) ready.logins.clear()
    throw error
  }
}

/**
 * The error as the caller gets it. After one that may be the module's own state (a token that it has lost sight of, an error that
 * nobody knows) the process is ended: the next operation begins with a fresh one.
 */
async function settled(access: TokenAccess, error: unknown): Promise<unknown> {
  const meant = meaningOf(access, error)
  if (meant instanceof Pkcs11Error && SUSPECT.has(meant.code)) await access.module.close()
  return meant
}

const SUSPECT: ReadonlySet<Pkcs11ErrorCode> = new Set<Pkcs11ErrorCode>([
  'PKCS11_TOKEN_NOT_FOUND',
  'PKCS11_TOKEN_REMOVED',
  'PKCS11_TOKEN_BROKEN',
  'PKCS11_PROTOCOL',
  'PKCS11_CKR',
])

function meaningOf(access: TokenAccess, error: unknown): unknown {
  const ckr = bareCkrOf(error)
  if (ckr === undefined || !(error instanceof Pkcs11Error)) return error
  if (REMOVED.has(ckr)) {
    return withMeaning('PKCS11_TOKEN_REMOVED', `the token went away while it was used (${error.message})`, error)
  }
  if (ckr === CKR_USER_NOT_LOGGED_IN && access.pin === undefined) {
    return withMeaning('PKCS11_PIN_REQUIRED', 'the token wants a PIN, and none is configured: set pinFile', error)
  }
  if (UNSUPPORTED.has(ckr)) {
    return withMeaning('PKCS11_MECHANISM_UNSUPPORTED', `the token cannot do this (${error.message})`, error)
  }
  if (WRONG_KEY.has(ckr)) {
    return withMeaning('PKCS11_KEY_WRONG_TYPE', `the key may not be used for this (${error.message})`, error)
  }
  return error
}

function queryOf(selector: KeySelector): KeyQuery {
  return 'label' in selector ? { kind: 'label', label: selector.label } : { kind: 'id', id: selector.id }
}

function moduleDescriptionOf({ facts }: ReadyProcess): string {
  return `${facts.manufacturer} ${facts.description} ${facts.version}`
}
