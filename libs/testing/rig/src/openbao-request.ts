import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { RigError } from './error.ts'

export interface RigRequest {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'LIST'
  /** Path below `/v1/`. */
  readonly path: string
  /** Sent as JSON. */
  readonly body?: unknown
  readonly token?: string
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface RigResponse {
  readonly status: number
  /** The parsed body, or undefined when there is none. */
  readonly body: unknown
}

const TIMEOUT_MS = 20_000

/**
 * One request to a node of the rig: small, independent of the client under test, and not fit for production.
 *
 * @throws {@link RigError} `RIG_UNREACHABLE` if no answer comes.
 */
export async function requestOpenBao(
  node: { readonly apiAddress: string; readonly caPath: string | undefined },
  { method = 'GET', path, body, token, timeoutMs = TIMEOUT_MS, signal }: RigRequest,
): Promise<RigResponse> {
  const url = new URL(`/v1/${path}`, node.apiAddress)
  const text = body === undefined ? '' : JSON.stringify(body)
  const options = {
    method,
    // Without an agent no connection is kept, so a restarted node is never asked over a dead one.
    agent: false,
    timeout: timeoutMs,
    headers: { 'Content-Length': Buffer.byteLength(text), ...(token === undefined ? {} : { 'X-Vault-Token': token }) },
    ...(signal === undefined ? {} : { signal }),
  }
  const { promise, resolve, reject } = Promise.withResolvers<RigResponse>()
  const request =
    node.caPath === undefined
      ? httpRequest(url, options)
      : httpsRequest(url, { ...options, ca: readFileSync(node.caPath) })
  request.on('error', reject)
  request.on('timeout', () => request.destroy(new Error(`no answer in ${timeoutMs} ms`)))
  request.on('response', response => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () => {
      const received = Buffer.concat(chunks).toString()
      resolve({ status: response.statusCode ?? 0, body: received === '' ? undefined : JSON.parse(received) })
    })
  })
  request.end(text)
  try {
    return await promise
  } catch (cause) {
    throw new RigError('RIG_UNREACHABLE', `${method} ${url.href}: ${String(cause)}`, { cause })
  }
}
