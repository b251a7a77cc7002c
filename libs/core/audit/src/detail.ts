import { AuditError } from './errors.ts'
import { type AuditEvent, fieldsOf, type FieldType, type LogEvent } from './events.ts'
import { MAX_DETAIL_FIELDS, MAX_TEXT_UNITS } from './limits.ts'

/** A value in the details of an event. */
export type DetailValue = string | number | boolean
/** The details of an event, by field. */
export type Detail = Readonly<Record<string, DetailValue>>

const FIELD_NAME = /^[a-z][A-Za-z0-9]{0,31}$/
/** Ends a text that was too long for a line. */
const CLIPPED = '\u2026'

/** An event that a line can hold. */
export interface CheckedEvent {
  readonly kind: string
  readonly detail: Detail
}

/**
 * Takes an event apart into what goes into a line. Texts that are too long are clipped, and end in `…`.
 *
 * @throws {@link AuditError} `AUDIT_EVENT_INVALID` for what the types forbid: another field, or a number that is no count.
 */
export function checkEvent(event: AuditEvent | LogEvent): CheckedEvent {
  const { kind, ...given } = event
  const detail: Record<string, DetailValue> = {}
  for (const [name, value] of Object.entries<DetailValue | undefined>(given)) {
    if (value !== undefined) detail[name] = typeof value === 'string' ? clip(value) : value
  }
  const flaw = fieldsOf(kind) === undefined ? 'there is no such kind' : findFlaw(kind, detail)
  if (flaw !== undefined) throw new AuditError('AUDIT_EVENT_INVALID', `an event "${kind}" cannot be written: ${flaw}`)
  return { kind, detail }
}

/** What keeps `detail` from being the details of an event of this kind; of an unknown kind only the form is looked at. */
export function findFlaw(kind: string, detail: Detail): string | undefined {
  const names = Object.keys(detail)
  if (names.length > MAX_DETAIL_FIELDS) return `more than ${MAX_DETAIL_FIELDS} fields`
  const badName = names.find(name => !FIELD_NAME.test(name))
  if (badName !== undefined) return 'a field name that is none'
  const badValue = names.find(name => !isValue(detail[name]))
  if (badValue !== undefined) return `"${badValue}" is neither a text, nor a whole number from 0, nor true or false`
  const fields = fieldsOf(kind)
  if (fields === undefined) return undefined
  const unknown = names.find(name => !Object.hasOwn(fields, name))
  if (unknown !== undefined) return `it has no field "${unknown}"`
  const wrong = Object.entries(fields).find(([name, type]) => !fits(detail[name], type))
  return wrong === undefined ? undefined : `"${wrong[0]}" must be a ${wrong[1].replace('?', '')}`
}

/** One encoding for each value: fields in ascending order of their names, no white space. */
export function encodeDetail(detail: Detail): string {
  const fields = Object.keys(detail)
    .sort()
    .map(name => `"${name}":${encodeValue(detail[name] ?? '')}`)
  return `{${fields.join(',')}}`
}

/** A text between quotation marks, in printable ASCII: nothing in it can end a line, or steer a terminal. */
export function encodeText(text: string): string {
  const escaped = text.replaceAll(/[^\x20-\x7e]|["\\]/g, unit => {
    if (unit === '"' || unit === '\\') return `\\${unit}`
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return `"${escaped}"`
}

/** Cuts a text that is too long. */
export function clip(text: string): string {
  return text.length <= MAX_TEXT_UNITS ? text : text.slice(0, MAX_TEXT_UNITS - 1) + CLIPPED
}

function encodeValue(value: DetailValue): string {
  return typeof value === 'string' ? encodeText(value) : String(value)
}

function isValue(value: unknown): boolean {
  if (typeof value === 'string') return value.length <= MAX_TEXT_UNITS
  return typeof value === 'boolean' || isCount(value)
}

/** Zero with a minus sign would have two encodings. */
function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0 && !Object.is(value, -0)
}

function fits(value: DetailValue | undefined, type: FieldType): boolean {
  switch (type) {
    case 'text':
      return typeof value === 'string'
    case 'count':
      return typeof value === 'number'
    case 'flag':
      return typeof value === 'boolean'
    case 'text?':
      return value === undefined || typeof value === 'string'
    case 'count?':
      return value === undefined || typeof value === 'number'
  }
}
