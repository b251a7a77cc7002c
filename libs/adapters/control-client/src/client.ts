import { Client, type Dispatcher } from 'undici'
import {
  CONTROL_PATHS,
  parseProbeView,
  parseStatusView,
  type ProbeView,
  type StatusView,
} from '@sealwright/control-api'
import { errorCodeOf } from '@sealwright/system-error'
import { ControlClientError } from './errors.ts'

export interface ControlClientOptions {
  readonly socketPath: string
  /** For one whole call. A probe waits for every seal of the node. */
  readonly timeoutMs: number
}

/** A connection to one agent's control socket. Close it when done. */
export interface ControlClient {
  /** What the agent knows, without touching a seal. */
  status(signal: AbortSignal): Promise<StatusView>
  /** Has the agent unwrap through every seal for real. */
  probe(signal: AbortSignal): Promise<ProbeView>
  close(): Promise<void>
}

const MAX_ANSWER_BYTES = 1024 * 1024
const HTTP_OK = 200

/**
 * Makes a client; it connects with the first call.
 *
 * Each call throws {@link ControlClientError} with any of its codes, or the reason of its signal.
 */
export function controlClient({ socketPath, timeoutMs }: ControlClientOptions): ControlClient {
  const http = new Client('http://localhost', { socketPath, maxResponseSize: MAX_ANSWER_BYTES })

  const ask = async (method: Dispatcher.HttpMethod, path: string, signal: AbortSignal): Promise<string> => {
    const deadline = AbortSignal.timeout(timeoutMs)
    try {
      const answer = await http.request({ method, path, signal: AbortSignal.any([signal, deadline]) })
      const body = await answer.body.text()
      if (answer.statusCode === HTTP_OK) return body
      throw new ControlClientError('CONTROL_ANSWER', `the agent answered ${method} ${path} with ${answer.statusCode}`)
    } catch (cause) {
      signal.throwIfAborted()
      if (deadline.aborted) {
        throw new ControlClientError('CONTROL_TIMEOUT', `no answer to ${method} ${path} in ${timeoutMs} ms`, { cause })
      }
      throw cause instanceof ControlClientError ? cause : explain(socketPath, cause)
    }
  }

  const parsed = <T>(parse: (answer: unknown) => T, body: string): T => {
    try {
      return parse(JSON.parse(body))
    } catch (cause) {
      throw new ControlClientError('CONTROL_ANSWER', 'the agent answers in a form that this version does not know', {
        cause,
      })
    }
  }

  return {
    status: async signal => parsed(parseStatusView, await ask('GET', CONTROL_PATHS.sealStatus, signal)),
    probe: async signal => parsed(parseProbeView, await ask('POST', CONTROL_PATHS.probe, signal)),
    close: () => http.destroy(),
  }
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
