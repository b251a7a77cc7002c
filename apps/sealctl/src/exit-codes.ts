import { UNAVAILABLE } from '@sealwright/control-api'
import { ControlClientError } from '@sealwright/control-client'
import { errorCodeOf } from '@sealwright/system-error'

/** How sealctl ends: part of the contract with scripts. */
export const EXIT_CODES = {
  done: 0,
  /** Also wrong use. */
  error: 1,
  /** Not ready, no quorum, or more shares are needed. */
  notReady: 2,
  /** It works now, yet the next restart is at risk. */
  atRisk: 3,
  /** The agent does not do it as things are. */
  refused: 4,
  /** The name was not typed again. */
  notConfirmed: 5,
  /** No seal gives the key now, or a device or server does not do its part. */
  unavailable: 6,
} as const

/** The same for people. */
export const EXIT_CODES_HELP = `
Exit codes: 0 done or ready, 1 error, 2 not ready or more shares are needed, 3 works but the next restart is at risk,
4 refused by the agent, 5 not confirmed, 6 sealed or a device is unavailable, 130 interrupted.`

const FIRST_SERVER_ERROR = 500

/** The exit code for an error. */
export function exitCodeOf(error: unknown): number {
  if (errorCodeOf(error) === 'SEALCTL_NOT_CONFIRMED') return EXIT_CODES.notConfirmed
  if (!(error instanceof ControlClientError) || error.code !== 'CONTROL_REFUSED') return EXIT_CODES.error
  const { status = FIRST_SERVER_ERROR } = error
  if (status === UNAVAILABLE) return EXIT_CODES.unavailable
  return status >= FIRST_SERVER_ERROR ? EXIT_CODES.error : EXIT_CODES.refused
}
