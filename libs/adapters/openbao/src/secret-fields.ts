import { type Secret } from '@sealwright/secret'
import { OpenBaoError } from './error.ts'
import { type SecretJson, secretText } from './secret-json.ts'

/** An object within a body that holds secrets. */
export type SecretObject = Extract<SecretJson, { kind: 'object' }>

/** A body that holds secrets, and the request that it answers, for messages. */
export interface SecretBody {
  readonly body: Uint8Array
  readonly request: string
}

/** A member of an object; undefined if there is none, or no object. */
export function memberOf(json: SecretJson, name: string): SecretJson | undefined {
  return json.kind === 'object' ? json.members.get(name) : undefined
}

/**
 * A member that is an object itself.
 *
 * @throws {@link OpenBaoError} `OPENBAO_RESPONSE_MALFORMED`, as all readers here.
 */
export function objectMember(json: SecretJson, name: string, request: string): SecretObject {
  const value = memberOf(json, name)
  if (value?.kind !== 'object') throw malformedField(request, name)
  return value
}

/** The text of a value, not empty. The caller owns, and wipes, the result. */
export function secretTextOf({ body, request }: SecretBody, json: SecretJson | undefined, name: string): Secret {
  if (json?.kind !== 'string' || json.start === json.end) throw malformedField(request, name)
  return secretText(body, json, request)
}

/** A whole number from 0 up, which is no secret. */
export function countOf({ body, request }: SecretBody, json: SecretJson | undefined, name: string): number {
  const count = json?.kind === 'plain' ? Number(plainText(body, json)) : Number.NaN
  if (!Number.isSafeInteger(count) || count < 0) throw malformedField(request, name)
  return count
}

/** True or false, which is no secret. */
export function flagOf({ body, request }: SecretBody, json: SecretJson | undefined, name: string): boolean {
  const text = json?.kind === 'plain' ? plainText(body, json) : ''
  if (text !== 'true' && text !== 'false') throw malformedField(request, name)
  return text === 'true'
}

export function malformedField(request: string, name: string): OpenBaoError {
  return new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${request}: field "${name}" is missing or of another type`)
}

function plainText(body: Uint8Array, { start, end }: { readonly start: number; readonly end: number }): string {
  return new TextDecoder().decode(body.subarray(start, end))
}
