import { Secret } from '@sealwright/secret'
import { OpenBaoError } from '../error.ts'
import { encodePath, withoutSlashes } from '../kv.ts'
import { encodeSecretObject } from '../secret-json.ts'
import { type Call, type Send } from '../transport.ts'
import { type LoginMethod, type ReadSecret } from './auth-method.ts'
import { type Clock } from './clock.ts'
import { type Grant, parseGrant } from './grant.ts'
import { type RefusalMemory, refusalMemory } from './refusal-memory.ts'

/** Reads the credential anew and gives it for a token. */
export type Login = (call: Call) => Promise<Grant>

/**
 * Makes the login of one method. A secret id that was refused is not sent again for a while: see {@link refusalMemory}.
 *
 * The login throws {@link OpenBaoError} `OPENBAO_CREDENTIAL_UNREADABLE`, `OPENBAO_LOGIN_REFUSED`,
 * `OPENBAO_SECRET_ID_REFUSED`, and what a request may throw.
 */
export function openLogin(auth: LoginMethod, send: Send, clock: Clock): Login {
  const path = `auth/${encodePath(withoutSlashes(auth.mountPath ?? auth.method))}/login`
  const refused = auth.method === 'approle' ? refusalMemory(clock) : undefined
  return async call => {
    const credential = await readCredentials(auth, call.signal)
    const secrets = Object.values(credential)
    let body: Uint8Array | undefined
    try {
      refused?.assertNotRefused(secrets)
      body = encodeSecretObject({ ...roleOf(auth), ...credential })
      return parseGrant(await send({ method: 'POST', path, body, call, expected: [200], secrets: () => secrets }))
    } catch (error) {
      throw refusalOf(error, secrets, refused)
    } finally {
      body?.fill(0)
      for (const secret of secrets) secret.wipe()
    }
  }
}

/** The secret members of the login's body. The caller wipes them. */
async function readCredentials(auth: LoginMethod, signal: AbortSignal): Promise<Readonly<Record<string, Secret>>> {
  switch (auth.method) {
    case 'approle': {
      const roleId = await readCredential('role id', auth.readRoleId, signal)
      try {
        return { role_id: roleId, secret_id: await readCredential('secret id', auth.readSecretId, signal) }
      } catch (error) {
        roleId.wipe()
        throw error
      }
    }
    case 'jwt':
    case 'kubernetes':
      return { jwt: await readCredential('JWT', auth.readJwt, signal) }
    case 'cert':
      return {}
  }
}

/** The member that says which role is asked for. No secret: a server that does not know it says so in its answer. */
function roleOf(auth: LoginMethod): Readonly<Record<string, Secret>> {
  switch (auth.method) {
    case 'approle':
      return {}
    case 'jwt':
    case 'kubernetes':
      return { role: plain(auth.role) }
    case 'cert':
      return auth.role === undefined ? {} : { name: plain(auth.role) }
  }
}

/** Whatever keeps a credential from being read is one thing to the caller: its cause tells which. */
export async function readCredential(what: string, read: ReadSecret, signal: AbortSignal): Promise<Secret> {
  try {
    return await read({ signal })
  } catch (cause) {
    if (signal.aborted) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new OpenBaoError('OPENBAO_CREDENTIAL_UNREADABLE', `no ${what} to log in with: ${reason}`, { cause })
  }
}

/** 400 and 403 answer the credential; anything else is as with every request. */
function refusalOf(error: unknown, secrets: readonly Secret[], refused: RefusalMemory | undefined): unknown {
  if (!(error instanceof OpenBaoError)) return error
  if (error.code !== 'OPENBAO_BAD_REQUEST' && error.code !== 'OPENBAO_PERMISSION_DENIED') return error
  const code =
    refused !== undefined && error.code === 'OPENBAO_BAD_REQUEST'
      ? 'OPENBAO_SECRET_ID_REFUSED'
      : 'OPENBAO_LOGIN_REFUSED'
  const { message, status, serverErrors } = error
  const refusal = new OpenBaoError(code, message, { cause: error, status, serverErrors })
  if (code === 'OPENBAO_SECRET_ID_REFUSED') refused?.remember(secrets, refusal)
  return refusal
}

function plain(text: string): Secret {
  return new Secret(new TextEncoder().encode(text))
}
