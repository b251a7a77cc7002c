import { type EtcdLookedAt, type GivenUp } from '@sealwright/kms-backends'
import { type SealFailure } from '@sealwright/unseal'
import { plain } from '../../render/plain.ts'

/** After each change that a backup of etcd may need. */
export const KEEP_A_COPY =
  'Keep a copy off this node, with your backups of etcd: without a keyring none of them can be read.\n' +
  '  sealctl kms keyring export FILE\n'

/** What an operator is told of versions that are retired on this node from now on. */
export function renderGivenUp({ versions, keptAs }: GivenUp): readonly string[] {
  if (keptAs === undefined) return []
  return [
    plain(`retired here from now on: ${versions.join(', ')}; the keyring from before is kept as ${keptAs}`) + '\n',
    plain(`  sealctl kms keyring restore ${keptAs}      takes that back`) + '\n',
  ]
}

/** By what an operator recognises an etcd. */
export function describeEtcd({ clusterId, endpoints }: EtcdLookedAt): string {
  return `${clusterId} at ${endpoints.join(', ')}`
}

/** Seals that a change has not reached, for programs. */
export function failuresOf(failures: ReadonlyMap<string, SealFailure>) {
  return [...failures].map(([name, { code, message }]) => ({ name, code, message }))
}

/** The same, for people. */
export function renderFailures(failures: ReadonlyMap<string, SealFailure>): readonly string[] {
  return failuresOf(failures).map(
    ({ name, code, message }) => plain(`${name} was not reached and is caught up later: ${code}: ${message}`) + '\n',
  )
}

/** @param timeMs - since 1970. */
export function iso(timeMs: number): string {
  return new Date(timeMs).toISOString()
}
