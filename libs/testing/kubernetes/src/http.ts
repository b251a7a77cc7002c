import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { RigError } from '@sealwright/testing-rig'

export interface HttpRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: URL
  /** Sent as JSON, under `contentType`. */
  readonly body?: unknown
  readonly contentType?: string
  readonly token?: string
  /** The authority to check a server's certificate with, as PEM. */
  readonly caPem?: string
  /** For the whole exchange. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

export interface HttpResponse {
  readonly status: number
  readonly text: string
}

/**
 * One request to a program of the rig, on a connection of its own, so that a restarted one is never asked over a dead one.
 *
 * @throws {@link RigError} `RIG_UNREACHABLE` if no answer comes.
 */
export async function sendHttp(request: HttpRequest): Promise<HttpResponse> {
  const { method = 'GET', url, body, contentType = 'application/json', token, caPem, timeoutMs, signal } = request
  const content = body === undefined ? undefined : JSON.stringify(body)
  const deadline = AbortSignal.timeout(timeoutMs)
  const options = {
    method,
    agent: false,
    signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    headers: {
      ...(content === undefined ? {} : { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(content) }),
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    },
  }
  const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>()
  const sent =
    url.protocol === 'https:'
      ? httpsRequest(url, { ...options, ...(caPem === undefined ? {} : { ca: caPem }) })
      : httpRequest(url, options)
  sent.on('error', reject)
  sent.on('response', response => {
    buffer(response).then(received => {
      resolve({ status: response.statusCode ?? 0, text: received.toString() })
    }, reject)
  })
  sent.end(content)
  try {
    return await promise
  } catch (cause) {
    const why = deadline.aborted ? `no answer within ${timeoutMs} ms` : String(cause)
    throw new RigError('RIG_UNREACHABLE', `${method} ${url.href}: ${why}`, { cause })
  }
}

/** Whether an error means that nobody answered, which is a state like another while something starts. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof RigError && error.code === 'RIG_UNREACHABLE'
}
