import { type RemadeRecord, restoreVersions } from '@sealwright/kms-backends'
import { type CommandResult } from '../../command.ts'
import { readBroughtKeyring } from '../../local/brought-keyring.ts'
import { clusterIdOf } from '../../local/cluster-id.ts'
import { plain } from '../../render/plain.ts'
import { type RestoreOptions } from './keyring.ts'
import { renderVersions, versionsOf } from './keyring-view.ts'
import { type KmsCall } from './kms-command.ts'
import { openKmsNode } from './open-kms-node.ts'
import { failuresOf, renderFailures } from './words.ts'

/** `sealctl kms keyring restore`. */
export async function runRestore({ options, args, context }: KmsCall<RestoreOptions>): Promise<CommandResult> {
  const [path = ''] = args
  await using node = await openKmsNode(options.config, { clusterId: clusterIdOf(options.clusterId) })
  const former = await readBroughtKeyring({ kind: 'file', path }, context.signal)
  const { restored, remade, keyring, openedBy, failures } = await restoreVersions(node, former, context.signal)
  const versions = versionsOf(keyring, node)
  return {
    json: { restored, remade, openedBy, versions, failures: failuresOf(failures) },
    text: [
      renderVersions(versions),
      '\n',
      plain(`back again: ${restored.join(', ')}, proven by ${openedBy}; a KMS plugin that runs finds it by itself`) +
        '\n',
      ...remade.map(renderRemade),
      ...renderFailures(failures),
      'The other nodes may have it retired still: what one of them exports is refused here without --accept-retired. Take it back there, too:\n',
      '  sealctl kms keyring export FILE      here\n',
      '  sealctl kms keyring restore FILE     on each other node\n',
    ].join(''),
  }
}

function renderRemade({ sealName, version, code }: RemadeRecord): string {
  return (
    plain(
      `left out: its record of ${sealName} for version ${version}, which does not open (${code}); a new one was made`,
    ) + '\n'
  )
}
