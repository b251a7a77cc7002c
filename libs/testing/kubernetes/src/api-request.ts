import { RigError } from '@sealwright/testing-rig'
import { type HttpRequest, sendHttp } from './http.ts'
import { type ClusterIdentity } from './identity.ts'

export interface ApiRequest extends Pick<HttpRequest, 'method' | 'body' | 'contentType' | 'signal'> {
  /** With its query: `/api/v1/namespaces/default/secrets/a`. */
  readonly path: string
  /** Of another user than the one who may do everything. */
  readonly token?: string
  readonly timeoutMs?: number
}

export interface ApiResponse {
  readonly status: number
  /** The parsed body; undefined when it is empty or not JSON, as that of `/metrics`. */
  readonly body: unknown
  readonly text: string
}

const TIMEOUT_MS = 30_000

/**
 * One request to an API server: small, independent of any client under test, and not fit for production.
 *
 * @throws {@link RigError} `RIG_UNREACHABLE` if no answer comes.
 */
export async function requestApi(
  server: { readonly url: string; readonly identity: ClusterIdentity },
  { path, token = server.identity.tokens.admin, timeoutMs = TIMEOUT_MS, ...rest }: ApiRequest,
): Promise<ApiResponse> {
  const { status, text } = await sendHttp({
    ...rest,
    url: new URL(path, server.url),
    caPem: server.identity.authority.certificatePem,
    token,
    timeoutMs,
  })
  return { status, text, body: text.startsWith('{') ? JSON.parse(text) : undefined }
}

/** The `message` of the Status with which the API server refuses something; the whole text if it is none. */
export function messageOf({ body, text }: ApiResponse): string {
  if (typeof body === 'object' && body !== null && 'message' in body && typeof body.message === 'string') {
    return body.message
  }
  return text
}

/** @throws {@link RigError} `RIG_INVALID`, with what the API server says, unless it answered with one of `statuses`. */
export function expectStatus(response: ApiResponse, what: string, ...statuses: readonly number[]): void {
  if (statuses.includes(response.status)) return
  throw new RigError('RIG_INVALID', `the API server answers ${response.status} to ${what}: ${messageOf(response)}`)
}
