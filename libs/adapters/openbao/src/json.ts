import { OpenBaoError } from './error.ts'

/** A JSON object of which nothing is known yet. */
export type JsonObject = Readonly<Record<string, unknown>>

/** A place in an answer, for messages: the request and the way down to the field. */
export interface Place {
  readonly request: string
  readonly path: string
}

/**
 * Reads a body as one JSON object. Not for bodies that hold secrets: strings cannot be wiped.
 *
 * @throws {@link OpenBaoError} `OPENBAO_RESPONSE_MALFORMED`, as all readers here.
 */
export function parseJsonObject(body: Uint8Array, request: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    // No `cause`: the parser's message quotes the body.
    throw new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${request}: the body (${body.byteLength} bytes) is not JSON`)
  }
  if (!isObject(value)) throw malformed({ request, path: '' }, 'an object')
  return value
}

/** A reader of one field's value. */
export type Reader<T> = (value: unknown, place: Place) => T

export const readString: Reader<string> = (value, place) => {
  if (typeof value !== 'string') throw malformed(place, 'a string')
  return value
}

export const readBoolean: Reader<boolean> = (value, place) => {
  if (typeof value !== 'boolean') throw malformed(place, 'true or false')
  return value
}

/** A count: an integer from 0 up. */
export const readCount: Reader<number> = (value, place) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed(place, 'a count')
  return value
}

export const readObject: Reader<JsonObject> = (value, place) => {
  if (!isObject(value)) throw malformed(place, 'an object')
  return value
}

/** A list of at most {@link MAX_ITEMS}. */
export function readList<T>(readItem: Reader<T>): Reader<readonly T[]> {
  return (value, place) => {
    if (!Array.isArray(value) || value.length > MAX_ITEMS) throw malformed(place, `a list of at most ${MAX_ITEMS}`)
    return value.map((item: unknown, index) => readItem(item, { ...place, path: `${place.path}[${index}]` }))
  }
}

/** Missing, null and empty all read as undefined: OpenBao uses each of them for "nothing to say". */
export function optional<T>(read: Reader<T>): Reader<T | undefined> {
  return (value, place) => (value === undefined || value === null || value === '' ? undefined : read(value, place))
}

/** One field of an object. What else the object holds is not our business. */
export function field<T>(object: JsonObject, name: string, read: Reader<T>, place: Place): T {
  const value = Object.hasOwn(object, name) ? object[name] : undefined
  return read(value, { ...place, path: place.path === '' ? name : `${place.path}.${name}` })
}

/** Servers of a cluster and the like: far more than any cluster has. */
const MAX_ITEMS = 1000

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function malformed(place: Place, expected: string): OpenBaoError {
  const where = place.path === '' ? 'the body' : `field "${place.path}"`
  return new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${place.request}: ${where} is not ${expected}`)
}
