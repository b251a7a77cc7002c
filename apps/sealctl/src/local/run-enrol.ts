import { hostname } from 'node:os'
import { hex } from '@sealwright/bytes'
import {
  adoptKeyring,
  type ConfiguredSeal,
  encodeEnrolmentRequest,
  enrolmentFingerprint,
  makeEnrolmentRequest,
  type NamedFailure,
  unwrapThroughAny,
} from '@sealwright/node-seals'
import { type CommandResult } from '../command.ts'
import { type CommandContext } from '../context.ts'
import { writeNewFile } from '../files.ts'
import { readBroughtKeyring } from './brought-keyring.ts'
import { clusterIdOf, expectedCluster, isForWantOfCluster, NAME_THE_CLUSTER, reasonOf } from './cluster-id.ts'
import { type EnrolApplyOptions, type EnrolRequestOptions } from './commands.ts'
import { LocalError } from './errors.ts'
import { type LocalOptions } from './local-command.ts'
import { openNode, type OpenNode } from './open-node.ts'
import { opensIt, plain } from '../render/plain.ts'

/** `sealctl enroll request`. */
export async function runEnrolRequest(
  options: LocalOptions & EnrolRequestOptions,
  { signal }: CommandContext,
): Promise<CommandResult> {
  await using node = await openNode(options.config)
  return await enrolRequest(node, options, { approve: 'sealctl enroll approve', signal })
}

/**
 * Writes a request for the TPM of a node.
 *
 * @param how.approve - the command that the other node runs.
 */
export async function enrolRequest(
  { seals }: Pick<OpenNode, 'seals'>,
  options: EnrolRequestOptions,
  { approve, signal }: { readonly approve: string; readonly signal: AbortSignal },
): Promise<CommandResult> {
  const seal = chosenTpm(seals, options.seal)
  const request = await makeEnrolmentRequest(seal, options.label ?? hostname(), signal)
  const fingerprint = enrolmentFingerprint(request)
  await writeNewFile(options.output, encodeEnrolmentRequest(request))
  return {
    json: { output: options.output, fingerprint, seal: seal.name },
    text: [
      `the request is in ${options.output}; its fingerprint is`,
      '',
      `  ${fingerprint}`,
      '',
      'Bring the file to a node that is open, and compare the fingerprint there with this one:',
      `  ${approve} --request FILE --label NODE --output keyring.bin`,
      '',
    ].join('\n'),
  }
}

/** `sealctl enroll apply`. */
export async function runEnrolApply(
  options: LocalOptions & EnrolApplyOptions,
  { signal }: CommandContext,
): Promise<CommandResult> {
  const clusterId = clusterIdOf(options.clusterId)
  await using node = await openNode(options.config, clusterId)
  const keyring = await readBroughtKeyring({ kind: 'file', path: options.keyring }, signal)
  const expected = expectedCluster(keyring, clusterId, node.config)
  const failed: NamedFailure[] = []
  const onFailure = (failure: NamedFailure) => failed.push(failure)
  const opened = await unwrapThroughAny(node.seals, keyring, { signal, onFailure })
  if (opened === undefined) throw notOpened(failed, expected)
  using sealKeys = opened.sealKeys
  const adopted = await adoptKeyring(
    {
      ...{ keyring, sealKeys, clusterId: expected, seals: node.seals },
      ...{ storePath: node.config.store, label: hostname() },
    },
    signal,
  )
  const id = hex(adopted.keyring.clusterId)
  const failures = [...adopted.failures].map(([name, { code, message }]) => ({ name, code, message }))
  return {
    json: { clusterId: id, opens: adopted.opens, failures, store: node.config.store },
    text: [
      plain(
        `${node.config.store} is written: ${adopted.opens.join(', ')} of this node ${opensIt(adopted.opens)} the cluster ${id}`,
      ),
      ...failures.map(({ name, code, message }) => plain(`${name} has no record: ${code}: ${message}`)),
      'Now start the agent.',
      '',
    ].join('\n'),
  }
}

function notOpened(failed: readonly NamedFailure[], expected: Uint8Array | undefined): LocalError {
  if (failed.some(failure => isForWantOfCluster(failure, expected))) {
    return new LocalError('LOCAL_CLUSTER_UNNAMED', `${NAME_THE_CLUSTER}. Nothing was written`)
  }
  const reasons = failed.map(failure => reasonOf(failure, expected)).join('; ')
  return new LocalError('LOCAL_NOT_OPENED', `no seal of this node opens the keyring (${reasons}): nothing was written`)
}

function chosenTpm(seals: readonly ConfiguredSeal[], name: string | undefined): ConfiguredSeal {
  const candidates = seals.filter(seal => (name === undefined ? seal.type === 'tpm' : seal.name === name))
  const [only] = candidates
  if (only !== undefined && candidates.length === 1) return only
  throw new LocalError(
    'LOCAL_SEAL_UNKNOWN',
    candidates.length === 0
      ? `the configuration of this node has no ${name === undefined ? 'TPM seal' : `seal ${name}`} that is not disabled`
      : 'the configuration of this node has several TPM seals: name one with --seal',
  )
}
