import { type GivenUp } from '@sealwright/kms-backends'
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
