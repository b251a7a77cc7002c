import { toJsonSchema } from '@valibot/to-json-schema'
import { type GenericSchema } from 'valibot'

/** A piece of JSON Schema. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** A schema of ours as JSON Schema 2020-12, which OpenAPI 3.1 takes as it is. */
export function jsonSchemaOf(schema: GenericSchema): JsonSchema {
  const converted = toJsonSchema(schema, {
    target: 'draft-2020-12',
    // What cannot be said in JSON Schema must not vanish from the document unseen.
    errorMode: 'throw',
  })
  // The document as a whole says which dialect it is.
  return Object.fromEntries(Object.entries(converted).filter(([name]) => name !== '$schema'))
}

/** The fields of an object schema, one by one, as parameters need them. */
export function fieldsOf(
  schema: GenericSchema,
): readonly { readonly name: string; readonly required: boolean; readonly schema: JsonSchema }[] {
  const { properties = {}, required = [] } = jsonSchemaOf(schema) as {
    readonly properties?: Readonly<Record<string, JsonSchema>>
    readonly required?: readonly string[]
  }
  return Object.entries(properties).map(([name, field]) => ({ name, required: required.includes(name), schema: field }))
}
