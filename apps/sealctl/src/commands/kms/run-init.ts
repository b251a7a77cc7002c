import { join } from 'node:path'
import { mkdir } from 'node:fs/promises'
import { hex } from '@sealwright/bytes'
import { findStored, initKeyring, KmsKeyringError, kmsStatePath, type WantedShares } from '@sealwright/kms-backends'
import { type CommandResult } from '../../command.ts'
import { plain } from '../../render/plain.ts'
import { handOutShares, OPEN_NOTHING, SHARES_TO_PEOPLE, telling } from '../../shares/hand-out.ts'
import { prepareCardFolder } from '../../shares/share-cards.ts'
import { assertSharesHavePlace, assertSharesWanted } from '../init.ts'
import { encryptingHere } from './encrypting-here.ts'
import { type InitOptions } from './keyring.ts'
import { type KmsCall } from './kms-command.ts'
import { openKmsNode, type OpenKmsNode } from './open-kms-node.ts'
import { KEEP_A_COPY } from './words.ts'

/** `sealctl kms keyring init`. */
export async function runInit({ options, context }: KmsCall<InitOptions>): Promise<CommandResult> {
  const { signal } = context
  await using node = await openKmsNode(options.config, { label: options.label })
  await assertRemembersNone(node, signal)
  const shares = wantedShares(node, options)
  // Looked at before there are shares that could be lost.
  if (shares.length > 0) assertSharesHavePlace(options, context)
  const folders = await cardFolders(shares, options.output)
  const files: string[] = []
  let wereHandedOut = false
  const work = () =>
    initKeyring(
      {
        ...{ config: node.config, seals: node.seals, label: node.label, shares },
        acceptSingleWayIn: options.singleWayIn,
        handOut: async ({ wanted: { sealName, label }, clusterId, texts }) => {
          wereHandedOut = true
          const facts = { seal: sealName, label, clusterId: hex(clusterId) }
          const output = folders.get(sealName)
          const names = await handOutShares(facts, texts, { output, context })
          if (output !== undefined) files.push(...(names ?? []).map(name => join(output, name)))
        },
      },
      signal,
    )
  const keyring = await work().catch(async (error: unknown) => {
    if (!wereHandedOut) throw error
    return await telling(context, OPEN_NOTHING, () => Promise.reject(error as Error))
  })
  const clusterId = hex(keyring.clusterId)
  const opens = [...node.seals.map(({ name }) => name), ...shares.map(({ sealName }) => sealName)]
  return {
    json: { clusterId, version: 1, opens, store: node.config.store, ...(files.length === 0 ? {} : { files }) },
    text: [
      plain(`${node.config.store} is written: each of ${opens.join(', ')} opens it, proven just now`),
      `the id of this keyring is ${clusterId}; put it into the configuration of each node:`,
      '  backend:',
      `    clusterId: "${clusterId}"`,
      'Bring it to the other control-plane nodes before the KMS plugin encrypts anything: sealctl kms keyring enroll, or export and import.',
      KEEP_A_COPY.trimEnd(),
      ...(shares.length === 0 ? [] : [SHARES_TO_PEOPLE.trim()]),
      '',
    ].join('\n'),
  }
}

/**
 * A node whose plugin has encrypted by a keyring has lost it.
 *
 * @throws {KmsKeyringError} `KMS_KEYRING_EXISTS`; {@link KmsCommandError} `KMS_COMMAND_STATE_UNUSABLE`.
 */
async function assertRemembersNone({ kms, config: { store } }: OpenKmsNode, signal: AbortSignal): Promise<void> {
  // One that is there is named by what makes it.
  if ((await findStored(store)) !== undefined) return
  if ((await encryptingHere(kms, store, signal)) === undefined) return
  throw new KmsKeyringError(
    'KMS_KEYRING_EXISTS',
    `the KMS plugin of this node has encrypted by a keyring (${kmsStatePath(kms.stateDirectory)}), and no other one was made: bring that back by sealctl kms keyring recover --keyring FILE, or import. Only for a new one that has nothing to do with it name another stateDirectory, and another socket.path`,
  )
}

/** One set for each seal of type shamir. */
function wantedShares({ config }: OpenKmsNode, options: InitOptions): readonly WantedShares[] {
  const { shares: count, threshold } = options
  return config.seals
    .filter(({ type, disabled }) => type === 'shamir' && !disabled)
    .map(({ name: sealName }) => {
      assertSharesWanted(sealName, options)
      if (count === undefined || threshold === undefined) throw new TypeError('both were given')
      return { sealName, label: sealName, count, threshold }
    })
}

/** Where the cards of each set go: in folders of their own if there are several. */
async function cardFolders(
  sets: readonly WantedShares[],
  output: string | undefined,
): Promise<ReadonlyMap<string, string>> {
  if (output === undefined || sets.length === 0) return new Map()
  await prepareCardFolder(output)
  const [only] = sets
  if (only !== undefined && sets.length === 1) return new Map([[only.sealName, output]])
  const folders = sets.map(({ sealName }) => [sealName, join(output, sealName)] as const)
  for (const [, folder] of folders) await mkdir(folder, { mode: 0o700 })
  return new Map(folders)
}
