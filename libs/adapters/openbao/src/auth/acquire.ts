import { OpenBaoError } from '../error.ts'
import { type Call, isTokenText, type Send } from '../transport.ts'
import { type AuthMethod, type TokenMethod } from './auth-method.ts'
import { type Clock } from './clock.ts'
import { holdToken } from './held-token.ts'
import { type Lease, leaseTimes, unknownTimes } from './lease.ts'
import { openLogin, readCredential } from './login.ts'

/** Gets a token: from its file, or by a login. Gives `current` itself if the file holds no other. */
export type Acquire = (current: Lease | undefined, call: Call) => Promise<Lease>

/** How tokens are come by with this method. Throws as `openLogin` says. */
export function acquireBy(auth: AuthMethod, send: Send, clock: Clock): Acquire {
  if (auth.method === 'token') return async (current, call) => await readToken(auth, clock, current, call)
  const login = openLogin(auth, send, clock)
  return async (_, call) => {
    const obtainedAtMs = clock.nowMs()
    const { token, ...terms } = await login(call)
    return { held: holdToken(token), obtainedAtMs, times: leaseTimes(obtainedAtMs, terms) }
  }
}

async function readToken(
  { readToken: read }: TokenMethod,
  clock: Clock,
  current: Lease | undefined,
  { signal }: Call,
): Promise<Lease> {
  const token = await readCredential('token', read, signal)
  if (current?.held.equals(token) === true) {
    token.wipe()
    return current
  }
  if (!token.reveal(isTokenText)) {
    token.wipe()
    throw new OpenBaoError(
      'OPENBAO_CREDENTIAL_UNREADABLE',
      'the token is empty, or holds a space, a line break or another odd byte',
    )
  }
  const obtainedAtMs = clock.nowMs()
  return { held: holdToken(token), obtainedAtMs, times: unknownTimes(obtainedAtMs) }
}
