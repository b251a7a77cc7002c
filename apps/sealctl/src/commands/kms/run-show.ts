import { hex } from '@sealwright/bytes'
import { assertKmsKeyring } from '@sealwright/keyring'
import { type ExaminedSeal, keyringBackend, readStored } from '@sealwright/kms-backends'
import { type CommandResult } from '../../command.ts'
import { EXIT_CODES } from '../../exit-codes.ts'
import { plain } from '../../render/plain.ts'
import { SEAL_CONTEXT } from '../../seal-context.ts'
import { type ShowOptions } from './keyring.ts'
import { membersOf, renderMembers, renderVersions, versionsOf } from './keyring-view.ts'
import { type KmsCall } from './kms-command.ts'
import { openKmsNode, type OpenKmsNode } from './open-kms-node.ts'

/** `sealctl kms keyring show`. */
export async function runShow({ options, context }: KmsCall<ShowOptions>): Promise<CommandResult> {
  await using node = await openKmsNode(options.config)
  const { keyring } = await readStored(node.config.store)
  assertKmsKeyring(keyring)
  const [versions, members] = [versionsOf(keyring, node), membersOf(keyring)]
  const tried = options.try ? await examined(node, context.signal) : undefined
  const clusterId = hex(keyring.clusterId)
  const { revision } = keyring
  return {
    json: {
      ...{ store: node.config.store, clusterId, revision, versions, members },
      ...(tried === undefined ? {} : { tried }),
    },
    text: [
      plain(`keyring ${clusterId}, revision ${revision}, in ${node.config.store}`),
      '\n\n',
      renderVersions(versions),
      '\n',
      renderMembers(members),
      ...(tried === undefined ? [] : ['\n', ...tried.map(renderTried)]),
    ].join(''),
    exitCode: tried === undefined ? EXIT_CODES.done : exitCodeFor(tried),
  }
}

async function examined({ config }: OpenKmsNode, signal: AbortSignal): Promise<readonly ExaminedSeal[]> {
  await using backend = keyringBackend(config, SEAL_CONTEXT)
  return await backend.examine(signal)
}

function exitCodeFor(tried: readonly ExaminedSeal[]): number {
  const opens = tried.filter(({ verdict }) => verdict.kind === 'opens').length
  if (opens === tried.length) return EXIT_CODES.done
  return opens === 0 ? EXIT_CODES.unavailable : EXIT_CODES.atRisk
}

function renderTried({ name, verdict }: ExaminedSeal): string {
  switch (verdict.kind) {
    case 'opens':
      return plain(`${name} opens it, in ${Math.round(verdict.tookMs)} ms`) + '\n'
    case 'fails':
      return plain(`${name} DOES NOT OPEN IT: ${verdict.failure.code}: ${verdict.failure.message}`) + '\n'
    case 'not-tried':
      return plain(`${name} was not tried: ${verdict.failure.code}: ${verdict.failure.message}`) + '\n'
  }
}
