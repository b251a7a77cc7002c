import { hex } from '@sealwright/bytes'
import { assertKmsKeyring } from '@sealwright/keyring'
import { type GivenUp, importKeyring, readStored } from '@sealwright/kms-backends'
import { type Adopted } from '@sealwright/node-seals'
import { type CommandResult } from '../../command.ts'
import { writeNewFile } from '../../files.ts'
import { readBroughtKeyring } from '../../local/brought-keyring.ts'
import { clusterIdOf } from '../../local/cluster-id.ts'
import { opensIt, plain } from '../../render/plain.ts'
import { type ImportOptions } from './keyring.ts'
import { renderVersions, versionsOf } from './keyring-view.ts'
import { type KmsCall } from './kms-command.ts'
import { encryptingHere } from './encrypting-here.ts'
import { openKmsNode, type OpenKmsNode } from './open-kms-node.ts'
import { renderGivenUp } from './words.ts'

/** `sealctl kms keyring export`. */
export async function runExport({ options, args }: KmsCall<object>): Promise<CommandResult> {
  const [output = ''] = args
  await using node = await openKmsNode(options.config)
  const { bytes, keyring } = await readStored(node.config.store)
  assertKmsKeyring(keyring)
  await writeNewFile(output, bytes)
  const clusterId = hex(keyring.clusterId)
  const { revision } = keyring
  return {
    json: { output, bytes: bytes.byteLength, clusterId, revision },
    text:
      plain(`${bytes.byteLength} bytes were written to ${output}: keyring ${clusterId}, revision ${revision}`) + '\n',
  }
}

/** `sealctl kms keyring import` and `enroll apply`. */
export async function runImport({ options, args, context }: KmsCall<ImportOptions>): Promise<CommandResult> {
  const [path = ''] = args
  const { signal } = context
  const clusterId = clusterIdOf(options.clusterId)
  await using node = await openKmsNode(options.config, { clusterId, label: options.label })
  const keyring = await readBroughtKeyring({ kind: 'file', path }, signal)
  const { acceptRetired } = options
  const brought = {
    keyring,
    clusterId,
    acceptRetired,
    encryptingHere: () => encryptingHere(node.kms, node.config.store, signal),
  }
  const imported = await importKeyring(node, brought, signal)
  return adoptedResult(imported, node, imported.givenUp)
}

/** What people and programs are told of a keyring that this node has taken in. */
export function adoptedResult(
  { keyring, opens, failures, written }: Adopted,
  node: OpenKmsNode,
  givenUp: GivenUp,
): CommandResult {
  const clusterId = hex(keyring.clusterId)
  const versions = versionsOf(keyring, node)
  const failed = [...failures].map(([name, { code, message }]) => ({ name, code, message }))
  return {
    json: {
      ...{ clusterId, opens, failures: failed, versions, store: node.config.store, written },
      ...(givenUp.keptAs === undefined ? {} : { retired: givenUp.versions, keptAs: givenUp.keptAs }),
    },
    text: [
      renderVersions(versions),
      '\n',
      plain(
        `${node.config.store} ${written ? 'is written' : 'has all of it already'}: ${opens.join(', ')} of this node ${opensIt(opens)} it, proven just now`,
      ),
      '\n',
      ...failed.map(({ name, code, message }) => plain(`${name} has no record: ${code}: ${message}`) + '\n'),
      ...renderGivenUp(givenUp),
      'A KMS plugin that runs finds it by itself.\n',
    ].join(''),
  }
}
