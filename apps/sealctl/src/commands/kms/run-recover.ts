import { assertKmsKeyring, type Keyring } from '@sealwright/keyring'
import { assertNotForked, findStored, type GivenUp, giveUpVersions, readStored } from '@sealwright/kms-backends'
import { type CommandResult } from '../../command.ts'
import { write } from '../../context.ts'
import { readBroughtKeyring } from '../../local/brought-keyring.ts'
import { clusterIdOf, expectedCluster } from '../../local/cluster-id.ts'
import { recover } from '../../local/recover.ts'
import { shareSource } from '../../local/run-recover.ts'
import { plain } from '../../render/plain.ts'
import { type RecoverOptions } from './keyring.ts'
import { encryptingHere } from './encrypting-here.ts'
import { type KmsCall } from './kms-command.ts'
import { openKmsNode, type OpenKmsNode } from './open-kms-node.ts'
import { adoptedResult } from './run-bring.ts'

/** `sealctl kms keyring recover`. */
export async function runRecover({ options, context }: KmsCall<RecoverOptions>): Promise<CommandResult> {
  const { signal } = context
  const clusterId = clusterIdOf(options.clusterId)
  await using node = await openKmsNode(options.config, { clusterId, label: options.label })
  using shares = shareSource(options, context)
  const keyring =
    options.keyring === undefined
      ? (await readStored(node.config.store)).keyring
      : await readBroughtKeyring({ kind: 'file', path: options.keyring }, signal)
  assertKmsKeyring(keyring)
  const givenUp = await giveUp(node, keyring, { acceptRetired: options.acceptRetired, signal })
  const recovered = await recover(
    {
      ...{ config: node.config, seals: node.seals, keyring, label: node.label },
      clusterId: expectedCluster(keyring, clusterId, node.config),
      byShares: options.shares || options.shareFile.length > 0,
      nextShare: () => shares.next(),
      onProgress: line => {
        if (!options.json) void write(context.stderr, `${plain(line)}\n`)
      },
      assertFit: (united: Keyring) => {
        assertNotForked(united)
      },
    },
    signal,
  )
  const { text, json } = adoptedResult(recovered, node, givenUp)
  return {
    json: { ...json, openedBy: recovered.openedBy },
    text: plain(`opened by ${recovered.openedBy}`) + `\n${text}`,
  }
}

/** What the store has may open by none of this node's seals any more: so nothing can show that a copy of it does. */
async function giveUp(
  node: OpenKmsNode,
  brought: Keyring,
  { acceptRetired, signal }: { readonly acceptRetired: boolean; readonly signal: AbortSignal },
): Promise<GivenUp> {
  const { store: storePath } = node.config
  const stored = await findStored(storePath)
  if (stored === undefined) return { versions: [], keptAs: undefined }
  assertKmsKeyring(stored.keyring)
  const giving = { acceptRetired, encryptingHere: () => encryptingHere(node.kms, storePath, signal) }
  return await giveUpVersions({ storePath, stored, brought }, giving, () => Promise.resolve())
}
