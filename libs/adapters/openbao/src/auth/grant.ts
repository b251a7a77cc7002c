import { type Secret } from '@sealwright/secret'
import { countOf, flagOf, memberOf, objectMember, secretTextOf } from '../secret-fields.ts'
import { parseSecretJson } from '../secret-json.ts'
import { type Answer } from '../transport.ts'

const MS_PER_SECOND = 1_000

/** How long a token lives. */
export interface LeaseTerms {
  /** 0: for ever. */
  readonly leaseMs: number
  readonly renewable: boolean
}

/** What a login gives. The caller owns, and wipes, the token. */
export interface Grant extends LeaseTerms {
  readonly token: Secret
}

/**
 * Reads the answer of a login, and wipes the body, whatever happens.
 *
 * @throws {@link OpenBaoError} `OPENBAO_RESPONSE_MALFORMED`, also if there is more to do before a token is given (MFA).
 */
export function parseGrant(answer: Answer): Grant {
  try {
    const auth = objectMember(parseSecretJson(answer.body, answer.request), 'auth', answer.request)
    const terms = {
      leaseMs: countOf(answer, memberOf(auth, 'lease_duration'), 'auth.lease_duration') * MS_PER_SECOND,
      renewable: flagOf(answer, memberOf(auth, 'renewable'), 'auth.renewable'),
    }
    return { ...terms, token: secretTextOf(answer, memberOf(auth, 'client_token'), 'auth.client_token') }
  } finally {
    answer.body.fill(0)
  }
}

/** Reads the answer of a renewal, which repeats the token, and wipes the body, whatever happens. */
export function parseTerms(answer: Answer): LeaseTerms {
  const { token, ...terms } = parseGrant(answer)
  token.wipe()
  return terms
}
