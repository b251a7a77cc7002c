import { type Secret } from '@sealwright/secret'
import { OpenBaoError } from './error.ts'
import { malformedField, memberOf, secretTextOf } from './secret-fields.ts'
import { parseSecretJson } from './secret-json.ts'
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
export function parseInit(answer: Answer): InitResult {
  const { body, request } = answer
  try {
    const root = parseSecretJson(body, request)
    const recoveryKeys = memberOf(root, 'recovery_keys_base64')
    if (recoveryKeys?.kind !== 'array') throw malformedField(request, 'recovery_keys_base64')
    return {
      rootToken: secretTextOf(answer, memberOf(root, 'root_token'), 'root_token'),
      recoveryKeys: recoveryKeys.items.map(item => secretTextOf(answer, item, 'recovery_keys_base64')),
    }
  } finally {
    body.fill(0)
  }
}
