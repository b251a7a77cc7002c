import {
  BYTES_TYPE,
  FACTS_HEADER,
  JSON_TYPE,
  type Operation,
  OPERATION_IDS,
  type OperationId,
  OPERATIONS,
  statusOfCode,
} from '@sealwright/control-api'
import { fieldsOf, type JsonSchema, jsonSchemaOf } from './schema.ts'

const OK = '200'
const NO_CONTENT = '204'

const INTRODUCTION = [
  'HTTP on the Unix socket of a seal agent, mode 0600: who may do what is decided by that mode alone.',
  'Unknown fields, query parameters and content types are refused. Answers may get new fields: ignore what you do not know.',
  'Shares travel as bytes, never in JSON or in a URL.',
  'A refusal is `{"errors": ["text"], "code": "STABLE_CODE"}`: decide by the code; texts may change.',
].join('\n')

/** Codes that any request may be refused with. */
const COMMON_CODES = ['CONTROL_REQUEST_INVALID', 'CONTROL_INTERNAL'] as const
/** Those of every request with a body. */
const BODY_CODES = ['CONTROL_REQUEST_SLOW', 'CONTROL_BODY_TOO_LARGE', 'CONTROL_CONTENT_TYPE'] as const

/** The OpenAPI 3.1 document of the control API, from its table of operations alone: the same table gives the same document. */
export function openApiDocument(): JsonSchema {
  const paths: Record<string, Record<string, JsonSchema>> = {}
  for (const id of OPERATION_IDS) {
    const operation: Operation = OPERATIONS[id]
    const path = operation.path.replaceAll(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: describeOperation(id, operation) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sealwright control API',
      description: INTRODUCTION,
      version: 'v1',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://localhost', description: 'over the Unix socket, as in curl --unix-socket' }],
    paths,
    components: { schemas: { Refusal: REFUSAL } },
  }
}

const REFUSAL: JsonSchema = {
  type: 'object',
  properties: {
    errors: { type: 'array', items: { type: 'string' }, description: 'sentences for people' },
    code: { type: 'string', description: 'stable' },
  },
  required: ['errors', 'code'],
}

function describeOperation(id: OperationId, operation: Operation): JsonSchema {
  const { summary, description, body } = operation
  const parameters = describeParameters(operation)
  return {
    operationId: id,
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: describeBody(body) }),
    responses: describeResponses(operation),
  }
}

function describeParameters({ parameters, query }: Operation): readonly JsonSchema[] {
  const listed = (place: 'path' | 'query', schema: Operation['query']): readonly JsonSchema[] =>
    schema === undefined
      ? []
      : fieldsOf(schema).map(({ name, required, schema: field }) => ({ name, in: place, required, schema: field }))
  return [...listed('path', parameters), ...listed('query', query)]
}

function describeBody(body: NonNullable<Operation['body']>): JsonSchema {
  switch (body.kind) {
    case 'json': {
      const schema = jsonSchemaOf(body.schema)
      const isRequired = Array.isArray(schema.required) && schema.required.length > 0
      return { required: isRequired, content: { [JSON_TYPE]: { schema } } }
    }
    case 'bytes':
    case 'secret':
      return bytesBody(`${body.what}; at most ${body.maxBytes} bytes`)
    case 'secrets':
      return bytesBody(`${body.what}; at most ${body.maxLines} lines of at most ${body.maxBytes} bytes`)
    case 'stream':
      return bytesBody(`${body.what}; any size`)
  }
}

function bytesBody(description: string): JsonSchema {
  // OpenAPI 3.1 §4.8.14.2: raw bytes have no schema.
  return { required: true, description, content: { [BYTES_TYPE]: {} } }
}

function describeResponses(operation: Operation): JsonSchema {
  const { answer, refusals, body } = operation
  const codes = [...COMMON_CODES, ...(body === undefined ? [] : BODY_CODES), ...refusals]
  const byStatus = Map.groupBy(codes, code => String(statusOfCode(code)))
  const refused = [...byStatus].map(([status, group]) => [
    status,
    {
      description: [...group].sort().join(', '),
      content: { [JSON_TYPE]: { schema: { $ref: '#/components/schemas/Refusal' } } },
    },
  ])
  return { ...describeAnswer(answer), ...Object.fromEntries(refused) } as JsonSchema
}

function describeAnswer(answer: Operation['answer']): JsonSchema {
  switch (answer.kind) {
    case 'json': {
      const response = { description: 'as asked', content: { [JSON_TYPE]: { schema: jsonSchemaOf(answer.schema) } } }
      const others = answer.otherStatus === undefined ? {} : { [answer.otherStatus]: response }
      return { [OK]: response, ...others }
    }
    case 'text':
      return { [OK]: { description: answer.what, content: { [answer.mediaType]: { schema: { type: 'string' } } } } }
    case 'bytes':
    case 'secrets':
      return {
        [OK]: {
          description: answer.what,
          ...(answer.facts === undefined ? {} : { headers: factsHeader(answer.facts) }),
          content: { [BYTES_TYPE]: {} },
        },
      }
    case 'nothing':
      return { [NO_CONTENT]: { description: 'done' } }
  }
}

function factsHeader(facts: NonNullable<Operation['query']>): JsonSchema {
  return {
    [FACTS_HEADER]: {
      description: 'JSON in printable ASCII',
      required: true,
      content: { [JSON_TYPE]: { schema: jsonSchemaOf(facts) } },
    },
  }
}
