import * as v from 'valibot'

/** Facts as the value of a header: JSON in printable ASCII, whatever names people chose. */
export function encodeFacts(facts: unknown): string {
  return JSON.stringify(facts).replaceAll(
    /[^\x20-\x7e]/g,
    unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Reads them back. @throws {v.ValiError} if they are not of that schema; {@link SyntaxError} if they are no JSON. */
export function decodeFacts<Schema extends v.GenericSchema>(schema: Schema, header: string): v.InferOutput<Schema> {
  return v.parse(schema, JSON.parse(header))
}
