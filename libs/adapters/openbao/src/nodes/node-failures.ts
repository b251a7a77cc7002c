import { OpenBaoError, type OpenBaoErrorCode } from '../error.ts'

/** What one address said, or failed to say. */
export interface NodeFailure {
  readonly address: string
  readonly error: OpenBaoError
}

/** Failures that say something about one node, the most telling first. The last may need an operator, so any other goes before it. */
const OF_ONE_NODE: readonly OpenBaoErrorCode[] = [
  'OPENBAO_RATE_LIMITED', // quotas are counted by each node
  'OPENBAO_SEALED',
  'OPENBAO_REDIRECTED',
  'OPENBAO_STATUS',
  'OPENBAO_TIMEOUT',
  'OPENBAO_CONNECTION_CUT',
  'OPENBAO_UNREACHABLE',
  'OPENBAO_RESPONSE_MALFORMED',
  'OPENBAO_TLS',
]

/** Whether another node of the same cluster may do better. */
export function isOfOneNode(error: unknown): error is OpenBaoError {
  return error instanceof OpenBaoError && OF_ONE_NODE.includes(error.code)
}

/**
 * One error for what all nodes failed in: the most telling one, with the words of all.
 *
 * @param failures - at least one.
 */
export function joinFailures(failures: readonly NodeFailure[]): OpenBaoError {
  const rank = ({ error }: NodeFailure): number => OF_ONE_NODE.indexOf(error.code)
  const [first, ...others] = [...failures].sort((a, b) => rank(a) - rank(b))
  if (first === undefined) throw new RangeError('no failure to tell')
  const { error } = first
  if (others.length === 0) return error
  const said = [first, ...others].map(each => `${each.address}: ${each.error.message}`)
  const { status, redirectOrigin, serverErrors, cause } = error
  return new OpenBaoError(error.code, said.join(' | '), { status, redirectOrigin, serverErrors, cause })
}
