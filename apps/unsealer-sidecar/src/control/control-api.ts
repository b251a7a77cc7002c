import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import {
  methodsOf,
  type Operation,
  type OperationId,
  OPERATION_IDS,
  OPERATIONS,
  parseParameters,
  parseQuery,
  type SealView,
  type StatusView,
} from '@sealwright/control-api'
import { Secret } from '@sealwright/secret'
import { type Answer, encodeAnswer } from './answer.ts'
import { callerOf } from './caller.ts'
import { type Handlers } from './handler.ts'
import { operationHandlers, statusHandlers } from './handlers.ts'
import { type Caller, type SealOperations } from './operations.ts'
import { controlRefusal, refusalOf, unknownPath } from './refusal.ts'
import { assertBodyFits, discardRest, readBody } from './request-body.ts'

/** What the control API can be asked. */
export interface ControlApiDependencies {
  readonly status: (signal: AbortSignal) => Promise<StatusView>
  /** Unwraps through every enabled seal for real, now. It may open an agent that was still sealed. */
  readonly probe: (signal: AbortSignal) => Promise<readonly SealView[]>
  /** What operators can do. */
  readonly operations: SealOperations
  readonly isOpen: () => boolean
  readonly metrics: { readonly contentType: string; text(): Promise<string> }
  /** Told of each call that may change something or takes the keyring away, once it is over. */
  readonly onCalled: (call: ControlCall) => void
  /** Told of what a caller is not told: why an answer was 500. */
  readonly onFailure: (error: unknown) => void
  /** For a whole body, or for the next piece of a snapshot. Callers are on this machine. */
  readonly bodyTimeoutMs?: number
}

/** A call as an audit log has it: no name and no value of it. */
export interface ControlCall {
  readonly method: Operation['method']
  /** As the table of operations has it: with `:name` for a name. */
  readonly path: string
  /** 0 if the caller went away before the answer. */
  readonly status: number
  readonly caller: Caller
}

/** Somebody who looks, again and again. A real unwrap that comes of it is written down as such. */
const LOOKS_ON = new Set<OperationId>(['probe'])
const TAKES_AWAY = new Set<OperationId>(['exportKeyring'])

const BODY_TIMEOUT_MS = 10_000

/**
 * The agent's control API: the operations of `@sealwright/control-api`, and nothing else. Who may reach it is decided by the mode of
 * its Unix socket.
 *
 * Strict: an unknown field, parameter, path, method or content type is refused. Shares pass through as bytes that are wiped, never as
 * text. A caller is told the message of an error only if its code says that it was written for callers.
 */
export function controlApi(dependencies: ControlApiDependencies): FastifyInstance {
  const { onCalled, onFailure, bodyTimeoutMs = BODY_TIMEOUT_MS } = dependencies
  const handlers: Handlers = { ...statusHandlers(dependencies), ...operationHandlers(dependencies.operations) }
  const api = fastify({
    logger: false,
    exposeHeadRoutes: false,
    schemaController: WITHOUT_SCHEMAS,
    // Queries and bodies are read by the table of operations.
    routerOptions: { querystringParser: () => ({}) },
    frameworkErrors: (_error, _request, reply) => {
      send(reply, controlRefusal('CONTROL_REQUEST_INVALID', 'the path cannot be read'))
    },
  })
  api.removeAllContentTypeParsers()
  api.addContentTypeParser('*', (_request, _payload, done) => {
    done(null)
  })

  /** Sends a refusal once the sender is done: whoever is cut off while sending never sees why. */
  const refuse = async (answer: Answer, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const isWhole = await discardRest(request.raw, bodyTimeoutMs)
    if (!isWhole) void reply.header('connection', 'close')
    send(reply, answer)
    return reply
  }

  for (const id of OPERATION_IDS) {
    const handler: AnyHandler = handlers[id]
    const operation: Operation = OPERATIONS[id]
    api.route({
      method: operation.method,
      url: operation.path,
      // Before anything of the body is read.
      onRequest: (request, { raw }, done) => {
        if (isNoted(id)) {
          raw.once('close', () => {
            onCalled({
              ...{ method: operation.method, path: operation.path, caller: callerOf() },
              status: raw.writableFinished ? raw.statusCode : 0,
            })
          })
        }
        assertBodyFits(operation, request.raw)
        done()
      },
      handler: async (request, reply) => {
        let body: unknown
        try {
          const parameters = parseParameters(operation, request.params)
          const query = parseQuery(operation, searchOf(request))
          body = await readBody(operation, request.raw, { bodyTimeoutMs })
          const checked = { parameters, query, body, caller: callerOf(), signal: untilAnswered(reply) }
          send(reply, encodeAnswer(operation, await handler(checked as never), reply.raw))
        } finally {
          wipeSecrets(body)
        }
        return reply
      },
    })
  }

  api.setErrorHandler(async (error, request, reply) => {
    // A caller that went away in the middle is no failure of ours.
    if (reply.raw.closed || request.raw.errored !== null) return reply.hijack()
    const { answer, isOurFailure } = refusalOf(error)
    if (isOurFailure) onFailure(error)
    return await refuse(answer, request, reply)
  })
  api.setNotFoundHandler(async (request, reply) => {
    const [path = ''] = request.url.split('?')
    return await refuse(unknownPath(methodsOf(path)), request, reply)
  })
  return api
}

function isNoted(id: OperationId): boolean {
  return (OPERATIONS[id].method !== 'GET' && !LOOKS_ON.has(id)) || TAKES_AWAY.has(id)
}

/** The handler of any operation: it is given what was checked against the table that its type comes from. */
type AnyHandler = (request: never) => unknown

/** No route has a schema. Saying so keeps Ajv and its code generator (12 MiB) out of the process that holds keys. */
const WITHOUT_SCHEMAS = {
  compilersFactory: { buildValidator: () => refuseSchema, buildSerializer: () => refuseSchema },
}

function refuseSchema(): never {
  throw new Error('the control API has no schemas')
}

function send(reply: FastifyReply, { status, headers, body }: Answer): void {
  void reply.code(status).headers(headers).send(body)
}

/** Aborted when the caller goes away. `request.signal` will not do: it fires as soon as a body has been read. */
function untilAnswered(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    controller.abort()
  })
  return controller.signal
}

/** What stands behind the first question mark. */
function searchOf({ url }: FastifyRequest): string {
  const mark = url.indexOf('?')
  return mark === -1 ? '' : url.slice(mark + 1)
}

function wipeSecrets(body: unknown): void {
  for (const part of Array.isArray(body) ? (body as readonly unknown[]) : [body]) {
    if (part instanceof Secret) part.wipe()
  }
}
