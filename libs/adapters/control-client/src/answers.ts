import { type GenericSchema, type InferOutput, object, parse, array, minLength, pipe, string } from 'valibot'
import { decodeFacts, FACTS_HEADER } from '@sealwright/control-api'
import { ControlClientError } from './errors.ts'
import { type ControlResponse } from './transport.ts'

const OK = 200
const NO_CONTENT = 204

const refusalView = object({ errors: pipe(array(string()), minLength(1)), code: string() })

/**
 * @throws {@link ControlClientError} `CONTROL_REFUSED` for a refusal of the agent, `CONTROL_ANSWER` for anything else that is no
 *   success.
 */
export function assertSuccess(what: string, response: ControlResponse): void {
  if (response.status === OK || response.status === NO_CONTENT) return
  const { status } = response
  const { errors, code } = understood(`${what} with status ${status}`, () => parse(refusalView, json(response)))
  throw new ControlClientError('CONTROL_REFUSED', errors.join('; '), { refusal: { code, status } })
}

/** The body as JSON of a schema. @throws {@link ControlClientError} `CONTROL_ANSWER`. */
export function readJson<Schema extends GenericSchema>(
  what: string,
  schema: Schema,
  response: ControlResponse,
): InferOutput<Schema> {
  return understood(what, () => parse(schema, json(response)))
}

/** The facts beside a body of bytes. @throws {@link ControlClientError} `CONTROL_ANSWER`. */
export function readFacts<Schema extends GenericSchema>(
  what: string,
  schema: Schema,
  { headers }: ControlResponse,
): InferOutput<Schema> {
  return understood(what, () => decodeFacts(schema, String(headers[FACTS_HEADER])))
}

function json({ body }: ControlResponse): unknown {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
}

function understood<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new ControlClientError(
      'CONTROL_ANSWER',
      `the agent answers ${what} in a form that this version does not know: use a sealctl of its version`,
      { cause },
    )
  }
}
