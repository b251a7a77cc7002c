/** What is checked. Ids are part of the contract with scripts. */
export type CheckId =
  | 'config-readable'
  | 'credential-files'
  | 'login-without-cluster'
  | 'starts-with-node'
  | 'socket-answers'
  | 'socket-mode'
  | 'status-ok'
  | 'round-trip'
  | 'damage-refused'
  | 'status-socket'
  | 'state-file'
  | `backend-reachable/${number}`
  | 'clock'
  | 'login'
  | 'token-no-default-policy'
  | 'policy-encrypt'
  | 'policy-decrypt'
  | 'policy-keys-read'
  | 'policy-too-wide'
  | 'key-type'
  | 'key-not-exportable'
  | 'key-deletion-not-allowed'
  | 'key-auto-rotate'
  | 'key-id-matches-backend'
  | 'keyring-store'
  | 'tls-expiry'
  | 'encryption-config'

/** How a check ended. A note is worth knowing, and nothing is wrong. */
export type Outcome = 'passed' | 'note' | 'warning' | 'failed' | 'skipped'

export interface Check {
  readonly id: CheckId
  readonly outcome: Outcome
  /** What was found, in a line. */
  readonly found: string
  /** What to do; absent where nothing is to be done. */
  readonly remedy?: string
}

export function passed(id: CheckId, found: string): Check {
  return { id, outcome: 'passed', found }
}

export function note(id: CheckId, found: string, remedy?: string): Check {
  return { id, outcome: 'note', found, ...(remedy === undefined ? {} : { remedy }) }
}

export function warning(id: CheckId, found: string, remedy: string): Check {
  return { id, outcome: 'warning', found, remedy }
}

export function failed(id: CheckId, found: string, remedy: string): Check {
  return { id, outcome: 'failed', found, remedy }
}

/** It could not be looked at, for a reason that another check tells. */
export function skipped(id: CheckId, found: string): Check {
  return { id, outcome: 'skipped', found }
}

/** What an error says. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
