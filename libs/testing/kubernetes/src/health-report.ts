import { RigError } from '@sealwright/testing-rig'
import { type ApiResponse } from './api-request.ts'

export type HealthEndpoint = 'readyz' | 'livez'

/** What `readyz` or `livez` says. */
export interface HealthReport {
  readonly ok: boolean
  /** Whether each check passes, by its name: `etcd`, `kms-providers`. */
  readonly checks: Readonly<Record<string, boolean>>
  /** The names of the checks that do not pass. */
  readonly failing: readonly string[]
  /** All that was said. */
  readonly text: string
}

/**
 * Reads the answer to `/readyz?verbose`: one line a check, `[+]ping ok` or `[-]ping failed: reason withheld`.
 *
 * @throws {@link RigError} `RIG_INVALID` if the answer lists no checks.
 */
export function parseHealthReport(endpoint: HealthEndpoint, { status, text }: ApiResponse): HealthReport {
  const checks = [...text.matchAll(/^\[([+-])\](\S+)/gm)].map(([, sign, name]) => [name, sign === '+'] as const)
  if (checks.length === 0) throw new RigError('RIG_INVALID', `/${endpoint} answers ${status} without checks: ${text}`)
  return {
    ok: status === 200,
    checks: Object.fromEntries(checks) as Record<string, boolean>,
    failing: checks.flatMap(([name, passes]) => (passes || name === undefined ? [] : [name])),
    text,
  }
}
