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
  /** It is not done as things are. */
  refused: 4,
  /** The name was not typed again, or the fingerprint is another one. */
  notConfirmed: 5,
  /** No seal gives or opens the key now, or a device or server does not do its part. */
  unavailable: 6,
} as const

/** The same for people. */
export const EXIT_CODES_HELP = `
Exit codes: 0 done or ready, 1 error, 2 not ready or more shares are needed, 3 works but the next restart is at risk,
4 refused as things are, 5 not confirmed, 6 sealed or a device is unavailable, 130 interrupted.`

const FIRST_SERVER_ERROR = 500

/** Errors of this side that do not just end with 1. */
const EXIT_CODE_OF_LOCAL: Readonly<Record<string, number>> = {
  SEALCTL_NOT_CONFIRMED: EXIT_CODES.notConfirmed,
  LOCAL_NO_SHARES: EXIT_CODES.notReady,
  LOCAL_NOT_OPENED: EXIT_CODES.unavailable,
  KMS_BACKEND_UNAVAILABLE: EXIT_CODES.unavailable,
  KMS_DEADLINE_EXCEEDED: EXIT_CODES.unavailable,
  KMS_PLUGIN_UNREACHABLE: EXIT_CODES.unavailable,
  KMS_PLUGIN_TIMEOUT: EXIT_CODES.unavailable,
  ETCD_UNREACHABLE: EXIT_CODES.unavailable,
  ETCD_TIMEOUT: EXIT_CODES.unavailable,
  ETCD_UNAVAILABLE: EXIT_CODES.unavailable,
  KMS_COMMAND_PLUGIN_RUNS: EXIT_CODES.refused,
  KMS_COMMAND_NOTHING_TO_ADOPT: EXIT_CODES.refused,
  KMS_KEYRING_SEALED: EXIT_CODES.unavailable,
  KMS_KEYRING_UNPROVEN: EXIT_CODES.unavailable,
  KMS_KEYRING_NOT_CONFIRMED: EXIT_CODES.notConfirmed,
  KMS_KEYRING_EXISTS: EXIT_CODES.refused,
  KMS_KEYRING_SINGLE_WAY_IN: EXIT_CODES.refused,
  KMS_KEYRING_FORKED: EXIT_CODES.refused,
  KMS_KEYRING_VERSION: EXIT_CODES.refused,
  KMS_KEYRING_NOT_VERIFIED: EXIT_CODES.refused,
  KMS_KEYRING_SEAL_UNKNOWN: EXIT_CODES.refused,
  KMS_KEYRING_MEMBER_KNOWN: EXIT_CODES.refused,
}

/** What the agent says of a file that it was sent: it ends as if sealctl had read the file by itself. */
const OF_A_FILE = /^(RAFT_SNAPSHOT_\w+|ENROLMENT_REQUEST_MALFORMED|KEYRING_MALFORMED|KEYRING_UNSUPPORTED)$/

/** The exit code for an error. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof ControlClientError) || error.code !== 'CONTROL_REFUSED') {
    return EXIT_CODE_OF_LOCAL[errorCodeOf(error) ?? ''] ?? EXIT_CODES.error
  }
  const { agentCode = '' } = error
  if (agentCode === 'OPERATION_NOT_CONFIRMED') return EXIT_CODES.notConfirmed
  if (OF_A_FILE.test(agentCode)) return EXIT_CODES.error
  const { status = FIRST_SERVER_ERROR } = error
  if (status === UNAVAILABLE) return EXIT_CODES.unavailable
  return status >= FIRST_SERVER_ERROR ? EXIT_CODES.error : EXIT_CODES.refused
}
