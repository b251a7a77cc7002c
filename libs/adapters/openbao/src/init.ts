import { type Secret } from '@sealwright/secret'
import { OpenBaoError } from './error.ts'
import { parseSecretJson, type SecretJson, secretText } from './secret-json.ts'
import { type Answer } from './transport.ts'

export interface InitRequest {
  /** Into how many shares the recovery key is split, 1…255. */
  readonly recoveryShares: number
  /** How many of them are needed, 1…`recoveryShares`; at least 2 if there are several shares. */
  readonly recoveryThreshold: number
}

/** All that will ever be shown of the new cluster's first secrets. The caller owns, and wipes, all of it. */
export interface InitResult {
  /** The token's text. Revoke it when it has done its work. */
  readonly rootToken: Secret
  /** One text in base64 for each share, as OpenBao takes it back. */
  readonly recoveryKeys: readonly Secret[]
}

/**
 * The body of `PUT sys/init` for a cluster with an automatic seal.
 *
 * @throws {@link OpenBaoError} `OPENBAO_REQUEST_INVALID` for numbers that OpenBao would refuse.
 */
export function initBody({ recoveryShares, recoveryThreshold }: InitRequest): Uint8Array {
  const inOrder = 1 <= recoveryThreshold && recoveryThreshold <= recoveryShares && recoveryShares <= 255
  const whole = Number.isInteger(recoveryShares) && Number.isInteger(recoveryThreshold)
  if (!whole || !inOrder || (recoveryShares > 1 && recoveryThreshold === 1)) {
    throw new OpenBaoError(
      'OPENBAO_REQUEST_INVALID',
      `${recoveryThreshold} of ${recoveryShares} recovery shares: not possible`,
    )
  }
  return new TextEncoder().encode(
    JSON.stringify({ recovery_shares: recoveryShares, recovery_threshold: recoveryThreshold }),
  )
}

/** Reads the answer of `PUT sys/init` and wipes the body, whatever happens. */
export function parseInit({ body, request }: Answer): InitResult {
  try {
    const root = parseSecretJson(body, request)
    const recoveryKeys = member(root, 'recovery_keys_base64')
    if (recoveryKeys?.kind !== 'array') throw malformed(request, 'recovery_keys_base64')
    return {
      rootToken: textOf(body, member(root, 'root_token'), 'root_token', request),
      recoveryKeys: recoveryKeys.items.map(item => textOf(body, item, 'recovery_keys_base64', request)),
    }
  } finally {
    body.fill(0)
  }
}

function member(json: SecretJson, name: string): SecretJson | undefined {
  return json.kind === 'object' ? json.members.get(name) : undefined
}

function textOf(body: Uint8Array, json: SecretJson | undefined, name: string, request: string): Secret {
  if (json?.kind !== 'string' || json.end === json.start) throw malformed(request, name)
  return secretText(body, json, request)
}

function malformed(request: string, name: string): OpenBaoError {
  return new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${request}: field "${name}" is missing or of another type`)
}
