import { writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import {
  adoptKeyring,
  type ConfiguredSeal,
  configuredSeals,
  encodeEnrolmentRequest,
  enrolmentFingerprint,
  makeEnrolmentRequest,
} from '@sealwright/node-seals'
import { type NodeConfig } from '@sealwright/node-config'
import { loadNodeConfig } from '@sealwright/program'
import { hasErrorCode } from '@sealwright/system-error'
import { type CommandResult } from '../command.ts'
import { type CommandContext } from '../context.ts'
import { SEAL_CONTEXT } from '../seal-context.ts'
import { readBroughtKeyring } from './brought-keyring.ts'
import { clusterIdOf } from './cluster-id.ts'
import { type EnrolApplyOptions, type EnrolRequestOptions } from './commands.ts'
import { LocalError } from './errors.ts'
import { type LocalOptions } from './local-command.ts'
import { openBySeals } from './open-brought.ts'

/** `sealctl enroll request`. */
export async function runEnrolRequest(
  options: LocalOptions & EnrolRequestOptions,
  { signal }: CommandContext,
): Promise<CommandResult> {
  await using node = await openNode(options.config)
  const seal = chosenTpm(node.seals, options.seal)
  const request = await makeEnrolmentRequest(seal, options.label ?? hostname(), signal)
  const fingerprint = enrolmentFingerprint(request)
  try {
    await writeFile(options.output, encodeEnrolmentRequest(request), { flag: 'wx' })
  } catch (cause) {
    if (!hasErrorCode(cause, 'EEXIST')) throw cause
    throw new LocalError('LOCAL_OUTPUT_EXISTS', `${options.output} is there already: remove it, or name another file`, {
      cause,
    })
  }
  return {
    json: { output: options.output, fingerprint, seal: seal.name },
    text: [
      `the request is in ${options.output}; its fingerprint is`,
      '',
      `  ${fingerprint}`,
      '',
      'Bring the file to a node that is open, and compare the fingerprint there with this one:',
      '  sealctl enroll approve --request FILE --label NODE --output keyring.bin',
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
  const reasons: string[] = []
  const opened = await openBySeals(keyring, node.seals, (name, reason) => reasons.push(`${name}: ${reason}`), signal)
  if (opened === undefined) {
    throw new LocalError(
      'LOCAL_NOT_OPENED',
      `no seal of this node opens the keyring (${reasons.join('; ')}): nothing was written`,
    )
  }
  using sealKeys = opened.sealKeys
  const configured = node.config.clusterId === undefined ? undefined : Buffer.from(node.config.clusterId, 'hex')
  const adopted = await adoptKeyring(
    {
      ...{ keyring, sealKeys, clusterId: clusterId ?? configured, seals: node.seals },
      ...{ storePath: node.config.store, label: hostname() },
    },
    signal,
  )
  const id = Buffer.from(adopted.keyring.clusterId).toString('hex')
  return {
    json: { clusterId: id, opens: adopted.opens, store: node.config.store },
    text: `${node.config.store} is written: ${adopted.opens.join(', ')} of this node open the cluster ${id}. Now start the agent.\n`,
  }
}

/** The seals of a node's configuration. */
interface OpenNode extends AsyncDisposable {
  readonly config: NodeConfig
  readonly seals: readonly ConfiguredSeal[]
}

/** @param clusterId - the cluster that is meant, where an operator says so: then records are opened that others made. */
async function openNode(path: string, clusterId?: Uint8Array): Promise<OpenNode> {
  const config = await loadNodeConfig(path)
  const seals = configuredSeals(config, {
    ...SEAL_CONTEXT,
    ...(clusterId === undefined ? {} : { isOurCluster: id => Buffer.compare(id, clusterId) === 0 }),
  })
  return {
    config,
    seals: seals.filter(({ disabled }) => !disabled),
    async [Symbol.asyncDispose]() {
      for (const seal of seals) await seal[Symbol.asyncDispose]()
    },
  }
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
