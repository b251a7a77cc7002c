import { type IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { Client } from 'undici'
import { errorCodeOf } from '@sealwright/system-error'
import { createDeadline } from './deadline.ts'
import { ControlClientError } from './errors.ts'

/** More than the keyring of the largest cluster in base64, which an approved enrolment answers with, and than any other answer. */
const MAX_ANSWER_BYTES = 2 * 1024 * 1024

/** What is sent. */
export interface ControlRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With its query. */
  readonly path: string
  readonly contentType?: string
  /** A stream is sent while it is read; each piece may take as long as a whole call. */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
}

/** What came back, whatever its status. */
export interface ControlResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** The caller's. */
  readonly body: Uint8Array
}

/** A connection to one agent's control socket. */
export interface ControlTransport {
  ask(request: ControlRequest, signal: AbortSignal): Promise<ControlResponse>
  close(): Promise<void>
}

/**
 * HTTP over a Unix socket; it connects with the first request.
 *
 * @throws {@link ControlClientError} `CONTROL_NO_AGENT`, `CONTROL_DENIED`, `CONTROL_TIMEOUT`, `CONTROL_UNREACHABLE`; the reason of the
 *   signal; what the source of a body fails with.
 */
export function controlTransport(options: {
  readonly socketPath: string
  readonly timeoutMs: number
}): ControlTransport {
  const { socketPath, timeoutMs } = options
  // The deadline is ours: undici's own would end a long rotation after five minutes.
  const http = new Client('http://localhost', {
    ...{ socketPath, maxResponseSize: MAX_ANSWER_BYTES, headersTimeout: 0, bodyTimeout: 0 },
  })
  return {
    async ask({ method, path, contentType, body }, signal) {
      const deadline = createDeadline(timeoutMs)
      const source = body === undefined || body instanceof Uint8Array ? undefined : watched(body, deadline.extend)
      const bytes = body instanceof Uint8Array ? body : undefined
      const sent = source === undefined ? bytes : Readable.from(source.pieces)
      try {
        const answer = await http.request({
          ...{ method, path, signal: AbortSignal.any([signal, deadline.signal]) },
          ...(contentType === undefined ? {} : { headers: { 'content-type': contentType } }),
          ...(sent === undefined ? {} : { body: sent }),
        })
        return { status: answer.statusCode, headers: answer.headers, body: await answer.body.bytes() }
      } catch (cause) {
        signal.throwIfAborted()
        const failure = source?.failure()
        if (failure !== undefined) throw failure.error
        if (deadline.signal.aborted) {
          const what = `${method} ${path.split('?')[0] ?? ''}`
          throw new ControlClientError('CONTROL_TIMEOUT', `no answer to ${what} in ${timeoutMs} ms`, { cause })
        }
        throw explain(socketPath, cause)
      } finally {
        deadline.clear()
      }
    },
    close: () => http.destroy(),
  }
}

/** Pieces that tell of themselves. What the source fails with is its own affair, and must not look like one of the connection. */
function watched(
  source: AsyncIterable<Uint8Array>,
  onPiece: () => void,
): { readonly pieces: AsyncIterable<Uint8Array>; readonly failure: () => { readonly error: unknown } | undefined } {
  let failure: { readonly error: unknown } | undefined
  async function* pieces(): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of source) {
        onPiece()
        yield piece
      }
    } catch (error) {
      failure = { error }
      throw error
    }
    onPiece()
  }
  return { pieces: pieces(), failure: () => failure }
}

function explain(socketPath: string, cause: unknown): ControlClientError {
  switch (errorCodeOf(cause)) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new ControlClientError(
        'CONTROL_NO_AGENT',
        `no agent answers on ${socketPath}: is unsealer-sidecar running?`,
        { cause },
      )
    case 'EACCES':
    case 'EPERM':
      return new ControlClientError('CONTROL_DENIED', `not allowed to use ${socketPath}: run as the agent's user`, {
        cause,
      })
    case undefined:
    default:
      return new ControlClientError('CONTROL_UNREACHABLE', `cannot talk to the agent on ${socketPath}`, { cause })
  }
}
