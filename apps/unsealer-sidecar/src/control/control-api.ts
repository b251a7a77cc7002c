import { fastify, type FastifyInstance, type FastifyReply } from 'fastify'
import { CONTROL_PATHS, type SealView, type StatusView } from '@sealwright/control-api'

/** What the control API can be asked. Nothing in it can change or delete a key; a probe may open an agent that was still sealed. */
export interface ControlApiDependencies {
  readonly status: (signal: AbortSignal) => Promise<StatusView>
  /** Unwraps through every enabled seal for real, now. */
  readonly probe: (signal: AbortSignal) => Promise<readonly SealView[]>
  /** Makes a new seal key. */
  readonly rotate: (signal: AbortSignal) => Promise<{ readonly generation: number; readonly keyId: string }>
  readonly isOpen: () => boolean
  readonly metrics: { readonly contentType: string; text(): Promise<string> }
  /** Told of what a caller is not told: why an answer was 500. */
  readonly onFailure: (error: unknown) => void
}

const MAX_BODY_BYTES = 4_096

/**
 * The agent's control API. Who may reach it is decided by the mode of its Unix socket.
 *
 * - `GET /healthz`: the agent runs.
 * - `GET /readyz`: 200 once a seal has opened the keyring for real, else 503.
 * - `GET /metrics`: Prometheus text.
 * - `GET /v1/sys/seal-status`: {@link StatusView}.
 * - `POST /v1/sys/seals/probe`: tries every seal now and returns what came of it.
 */
export function controlApi({
  status,
  probe,
  rotate,
  isOpen,
  metrics,
  onFailure,
}: ControlApiDependencies): FastifyInstance {
  const api = fastify({ logger: false, bodyLimit: MAX_BODY_BYTES, schemaController: WITHOUT_SCHEMAS })

  api.get(CONTROL_PATHS.healthz, () => ({ status: 'ok' }))
  api.get(CONTROL_PATHS.readyz, (_request, reply) => {
    const ready = isOpen()
    return reply.code(ready ? 200 : 503).send({ ready })
  })
  api.get(CONTROL_PATHS.metrics, async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()))
  api.get(CONTROL_PATHS.sealStatus, async (_request, reply) => await status(untilAnswered(reply)))
  api.post(CONTROL_PATHS.probe, async (_request, reply) => ({ seals: await probe(untilAnswered(reply)) }))

  api.post('/v1/sys/rotate/seal-key', async (_request, reply) => await rotate(untilAnswered(reply)))

  api.setErrorHandler((error, _request, reply) => {
    if (isClientError(error)) return reply.code(error.statusCode).send({ errors: [error.message] })
    // A caller that went away in the middle is no failure of ours.
    if (!reply.raw.closed) onFailure(error)
    return reply.code(500).send({ errors: ['internal error, see the log of the agent'] })
  })
  api.setNotFoundHandler((_request, reply) => reply.code(404).send({ errors: ['no such path'] }))
  return api
}

/** No route has a schema. Saying so keeps Ajv and its code generator (12 MiB) out of the process that holds keys. */
const WITHOUT_SCHEMAS = {
  compilersFactory: { buildValidator: () => refuseSchema, buildSerializer: () => refuseSchema },
}

function refuseSchema(): never {
  throw new Error('the control API has no schemas')
}

/** Aborted when the caller goes away. `request.signal` will not do: it fires as soon as a body has been read. */
function untilAnswered(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    controller.abort()
  })
  return controller.signal
}

function isClientError(error: unknown): error is Error & { statusCode: number } {
  if (!(error instanceof Error) || !('statusCode' in error)) return false
  return typeof error.statusCode === 'number' && error.statusCode >= 400 && error.statusCode < 500
}
