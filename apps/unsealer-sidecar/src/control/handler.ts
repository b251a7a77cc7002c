import {
  type JsonAnswerOf,
  type JsonBodyOf,
  type OperationId,
  type OperationOf,
  type ParametersOf,
  type QueryOf,
} from '@sealwright/control-api'
import { type Secret } from '@sealwright/secret'
import { type Caller } from './operations.ts'

type BodyKindOf<Id extends OperationId> =
  OperationOf<Id> extends { readonly body: { readonly kind: infer Kind } } ? Kind : undefined

interface BodyOfKind<Json> {
  readonly json: Json
  readonly bytes: Uint8Array
  /** Wiped by the server once the request was dealt with, as are several. */
  readonly secret: Secret
  readonly secrets: readonly Secret[]
  readonly stream: AsyncIterable<Uint8Array>
}

type BodyOf<Id extends OperationId> =
  BodyKindOf<Id> extends keyof BodyOfKind<unknown> ? BodyOfKind<JsonBodyOf<OperationOf<Id>>>[BodyKindOf<Id>] : undefined

interface AnswerOfKind<Json> {
  readonly json: Json
  readonly text: { readonly contentType: string; readonly text: string }
  readonly bytes: { readonly bytes: Uint8Array; readonly facts: Json }
  /** The server's from then on: it wipes them once they were sent. */
  readonly secrets: { readonly secrets: readonly Secret[]; readonly facts: Json }
  readonly nothing: undefined
}

type AnswerOf<Id extends OperationId> = AnswerOfKind<JsonAnswerOf<OperationOf<Id>>>[OperationOf<Id>['answer']['kind']]

/** A request whose every part was checked against the table of operations. */
export interface CheckedRequest<Id extends OperationId> {
  readonly parameters: ParametersOf<OperationOf<Id>>
  readonly query: QueryOf<OperationOf<Id>>
  readonly body: BodyOf<Id>
  readonly caller: Caller
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal
}

export type Handler<Id extends OperationId> = (request: CheckedRequest<Id>) => AnswerOf<Id> | Promise<AnswerOf<Id>>

/** What answers each operation. */
export type Handlers = { readonly [Id in OperationId]: Handler<Id> }
