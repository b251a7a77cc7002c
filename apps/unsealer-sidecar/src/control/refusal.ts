import { type ControlApiErrorCode, INTERNAL, type RefusalView, statusOfCode } from '@sealwright/control-api'
import { errorCodeOf } from '@sealwright/system-error'
import { type Answer, json } from './answer.ts'

/** What a caller is told of an error, and whether it is one that we have to look at. */
export interface Refusal {
  readonly answer: Answer
  readonly isOurFailure: boolean
}

/**
 * An error as a caller gets it: the message only if it was written for callers, which its code says. Causes are never told.
 */
export function refusalOf(error: unknown): Refusal {
  const code = errorCodeOf(error)
  const status = code === undefined ? undefined : statusOfCode(code)
  if (code === undefined || status === undefined || !(error instanceof Error)) {
    return { answer: refusal(INTERNAL, 'CONTROL_INTERNAL', INTERNAL_TEXT), isOurFailure: true }
  }
  return { answer: refusal(status, code, error.message), isOurFailure: status === INTERNAL }
}

/** The answer to what is no operation at all. */
export function unknownPath(methods: readonly string[]): Answer {
  if (methods.length === 0) return controlRefusal('CONTROL_PATH_UNKNOWN', 'no such path')
  const answer = controlRefusal('CONTROL_METHOD_UNKNOWN', `this path is asked with ${methods.join(' or ')}`)
  return { ...answer, headers: { ...answer.headers, allow: methods.join(', ') } }
}

/** A refusal of the API's own. */
export function controlRefusal(code: ControlApiErrorCode, message: string): Answer {
  return refusal(statusOfCode(code) ?? INTERNAL, code, message)
}

const INTERNAL_TEXT = 'internal error, see the log of the agent'

function refusal(status: number, code: string, message: string): Answer {
  return json(status, { errors: [message], code } satisfies RefusalView)
}
