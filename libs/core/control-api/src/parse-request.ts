import * as v from 'valibot'
import { ControlApiError } from './errors.ts'
import { type Operation } from './operation.ts'

/**
 * Reads the parameters of a path, decoded.
 *
 * @throws {@link ControlApiError} `CONTROL_REQUEST_INVALID`.
 */
export function parseParameters(operation: Operation, given: unknown): unknown {
  return operation.parameters === undefined ? undefined : checked(operation.parameters, given, 'the path')
}

/**
 * Reads a query.
 *
 * @param search - what follows the question mark; may be empty.
 * @throws {@link ControlApiError} `CONTROL_REQUEST_INVALID` for a parameter that is unknown, comes twice, or has a value that it cannot have.
 */
export function parseQuery(operation: Operation, search: string): unknown {
  const { query, repeatable = [] } = operation
  const given = new Map<string, string | string[]>()
  for (const [name, value] of new URLSearchParams(search)) {
    const before = given.get(name)
    if (Array.isArray(before)) before.push(value)
    else if (before !== undefined) throw invalid(`the query has ${fieldName(name)} twice`)
    else given.set(name, repeatable.includes(name) ? [value] : value)
  }
  if (query !== undefined) return checked(query, Object.fromEntries(given), 'the query')
  if (given.size > 0)
    throw invalid(`${fieldName(given.keys().next().value ?? '')} is unknown in the query, which must be empty`)
  return undefined
}

/**
 * Reads a body of JSON in UTF-8. An empty one is `{}`.
 *
 * @throws {@link ControlApiError} `CONTROL_REQUEST_INVALID`.
 */
export function parseJsonBody(schema: v.GenericSchema, body: Uint8Array): unknown {
  if (body.byteLength === 0) return checked(schema, {}, 'the body')
  const given = parseJson(body)
  // A schema of fields takes an array for an object without any.
  if (Array.isArray(given)) throw invalid('the body must be an object')
  return checked(schema, given, 'the body')
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    // Without its cause, which quotes what was sent.
    throw invalid('the body is no JSON in UTF-8')
  }
}

function checked(schema: v.GenericSchema, given: unknown, where: string): unknown {
  const result = v.safeParse(schema, given, { abortEarly: true })
  if (result.success) return result.output
  throw invalid(describe(result.issues[0], where))
}

/** Names the field and what it should be, never what it was: somebody may have put a share in the wrong place. */
function describe(issue: v.BaseIssue<unknown>, where: string): string {
  const field = issue.path?.map(({ key }) => fieldName(key)).join('.')
  if (field === undefined) return `${where} must be ${expectation(issue)}`
  if (issue.expected === 'never') return `${field} is unknown in ${where}`
  if (issue.input === undefined) return `${field} is missing in ${where}`
  return `${field} in ${where} ${issue.kind === 'validation' ? issue.message : `must be ${expectation(issue)}`}`
}

function expectation({ expected }: v.BaseIssue<unknown>): string {
  if (expected === 'Object') return 'an object'
  if (expected === 'Array') return 'a list'
  return expected === null ? 'something else' : `a ${expected}`
}

/** A name that a person can have meant; anything else may be a value in the wrong place. */
function fieldName(key: unknown): string {
  if (typeof key === 'number') return String(key)
  return typeof key === 'string' && /^[a-zA-Z]\w{0,31}$/.test(key) ? key : 'a field of another name'
}

function invalid(message: string): ControlApiError {
  return new ControlApiError('CONTROL_REQUEST_INVALID', message)
}
