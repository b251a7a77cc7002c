import { type ApiRequest, type ApiResponse } from './api-request.ts'
import { type ApiServer } from './api-server.ts'
import { parseHealthReport } from './health-report.ts'
import { isUnreachable } from './http.ts'

/** How far an API server has come, from the least on. */
const STATES = [
  'unreachable', // nobody answers
  'listening', // it answers, though not all of its parts are up, or a check fails
  'ready-except-kms', // all is well but a KMS plugin
  'ready', // all is well, and the first namespace is there
] as const

export type ApiServerState = (typeof STATES)[number]

/** `unreachable`, a state that it has to reach at least, or a look of one's own. */
export type ApiServerCondition =
  ApiServerState | ((server: ApiServer, signal: AbortSignal) => boolean | Promise<boolean>)

export interface ApiServerWait {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Names a condition of one's own in the error. */
  readonly what?: string
}

/** All KMS v2 providers have one check together. */
const KMS_CHECK = 'kms-providers'

const WAIT_TIMEOUT_MS = 120_000
/** `readyz` itself waits for a KMS plugin, up to the time limit of its provider. */
const LOOK_TIMEOUT_MS = 15_000
const LOOK_INTERVAL_MS = 100

export async function stateOf(
  ask: (request: ApiRequest) => Promise<ApiResponse>,
  signal: AbortSignal | undefined,
): Promise<ApiServerState> {
  const look = async (path: string): Promise<ApiResponse> =>
    await ask({ path, timeoutMs: LOOK_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) })
  try {
    const state = stateByChecks(await look('/readyz?verbose'))
    if (state === 'listening') return state
    // It comes a moment after `readyz` is content, and most of what is written lies in it.
    return (await look('/api/v1/namespaces/default')).status === 200 ? state : 'listening'
  } catch (error) {
    if (isUnreachable(error)) return 'unreachable'
    throw error
  }
}

function stateByChecks(answer: ApiResponse): 'listening' | 'ready-except-kms' | 'ready' {
  if (answer.status === 200) return 'ready'
  // Before it knows its users it refuses to tell.
  if (answer.status !== 500) return 'listening'
  return parseHealthReport('readyz', answer).failing.every(name => name === KMS_CHECK)
    ? 'ready-except-kms'
    : 'listening'
}

export async function waitForApiServer(
  server: ApiServer,
  condition: ApiServerCondition,
  wait: ApiServerWait,
): Promise<void> {
  let last: ApiServerState = 'unreachable'
  const look = async (signal: AbortSignal): Promise<boolean> => {
    if (typeof condition === 'function') return await condition(server, signal)
    last = await server.state(signal)
    return condition === 'unreachable' ? last === condition : STATES.indexOf(last) >= STATES.indexOf(condition)
  }
  const what = wait.what ?? (typeof condition === 'string' ? `state "${condition}"` : 'a condition')
  await server.process().waitFor(look, {
    what: `${server.name} (${server.url}): ${what}`,
    timeoutMs: wait.timeoutMs ?? WAIT_TIMEOUT_MS,
    intervalMs: LOOK_INTERVAL_MS,
    describe: () => (typeof condition === 'function' ? '' : `its last state was "${last}"`),
    ...(wait.signal === undefined ? {} : { signal: wait.signal }),
  })
}
