import { type GenericSchema, type InferOutput } from 'valibot'

/** What travels with a request beside its path and query. */
export type RequestBody =
  /** `application/json`; an absent body is `{}`. */
  | { readonly kind: 'json'; readonly schema: GenericSchema }
  /** `application/octet-stream` of 1 to `maxBytes` bytes. */
  | { readonly kind: 'bytes'; readonly maxBytes: number; readonly what: string }
  /** The same, and they are a secret: wiped as soon as the request was dealt with. */
  | { readonly kind: 'secret'; readonly maxBytes: number; readonly what: string }
  /** Several secrets, one a line, each of 1 to `maxBytes` bytes. */
  | { readonly kind: 'secrets'; readonly maxBytes: number; readonly maxLines: number; readonly what: string }
  /** `application/octet-stream` of any size, read while it comes. */
  | { readonly kind: 'stream'; readonly what: string }

/** What comes back. */
export type AnswerBody =
  | {
      readonly kind: 'json'
      readonly schema: GenericSchema
      /** Another status that the same body may come with. */
      readonly otherStatus?: number
    }
  | { readonly kind: 'text'; readonly mediaType: string; readonly what: string }
  /** `application/octet-stream`. With `facts`, JSON of that schema stands in the header {@link FACTS_HEADER}. */
  | { readonly kind: 'bytes'; readonly what: string; readonly facts?: GenericSchema }
  /** Secrets, one a line, each line ended by a line feed; none is an empty body. Facts as above. */
  | { readonly kind: 'secrets'; readonly what: string; readonly facts: GenericSchema }
  /** An answer without a body: 204. */
  | { readonly kind: 'nothing' }

/** One thing that the control API can be asked. */
export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** `:name` stands for the parameter `name`. */
  readonly path: string
  /** One sentence. */
  readonly summary: string
  /** More than that, where it is needed. */
  readonly description?: string
  readonly parameters?: GenericSchema
  readonly query?: GenericSchema
  /** Names in the query that may come several times: their values are an array. */
  readonly repeatable?: readonly string[]
  readonly body?: RequestBody
  readonly answer: AnswerBody
  /** Codes that it may be refused with, beside those of every request. */
  readonly refusals: readonly string[]
}

/** Holds JSON in ASCII beside a body that is not JSON. */
export const FACTS_HEADER = 'sealwright-facts'

export const JSON_TYPE = 'application/json'
export const BYTES_TYPE = 'application/octet-stream'

type OutputOf<Schema> = Schema extends GenericSchema ? InferOutput<Schema> : undefined

/** Parameters of the path of an operation; `undefined` where it has none. */
export type ParametersOf<O extends Operation> = OutputOf<O['parameters']>
/** The query of an operation; `undefined` where it has none. */
export type QueryOf<O extends Operation> = OutputOf<O['query']>
/** The JSON that an operation takes; `undefined` where it takes none. */
export type JsonBodyOf<O extends Operation> = O['body'] extends { readonly kind: 'json'; readonly schema: infer Schema }
  ? OutputOf<Schema>
  : undefined
/** The JSON that an operation answers with, in its body or as facts beside it. */
export type JsonAnswerOf<O extends Operation> = O['answer'] extends { readonly schema: infer Schema }
  ? OutputOf<Schema>
  : O['answer'] extends { readonly facts: infer Schema }
    ? OutputOf<Schema>
    : undefined
