import {
  parseRotationVerification,
  type RetirementProof,
  retireVersions,
  rotateKeyring,
} from '@sealwright/kms-backends'
import { type CommandResult } from '../../command.ts'
import { type CommandContext } from '../../context.ts'
import { SealctlError } from '../../errors.ts'
import { plain } from '../../render/plain.ts'
import { confirmName } from '../../terminal/ask.ts'
import { encryptingHere, knownHere } from './encrypting-here.ts'
import { type RetireOptions, type RotateOptions } from './keyring.ts'
import { renderVersions, versionsOf } from './keyring-view.ts'
import { type KmsCall } from './kms-command.ts'
import { openKmsNode } from './open-kms-node.ts'
import { readTextFile, RECORD_ADVICE } from './read-text-file.ts'
import { describeEtcd, failuresOf, KEEP_A_COPY, renderFailures } from './words.ts'

const MS_PER_MINUTE = 60_000
/** What an operator types who has looked at all of them. */
const EVERY_NODE = 'every node'

/** `sealctl kms keyring rotate`. */
export async function runRotate({ options, context }: KmsCall<RotateOptions>): Promise<CommandResult> {
  await using node = await openKmsNode(options.config)
  const rotated = await rotateKeyring(
    node,
    {
      handOutMs: options.handOut * MS_PER_MINUTE,
      knownHere: await knownHere(node.kms, node.config.store, context.signal),
    },
    context.signal,
  )
  const { version, keyring, openedBy, failures } = rotated
  const versions = versionsOf(keyring, node)
  const encryptsFrom = versions.find(each => each.version === version)?.encryptsFrom ?? ''
  return {
    json: { version, encryptsFrom, openedBy, versions, failures: failuresOf(failures) },
    text: [
      renderVersions(versions),
      '\n',
      plain(`version ${version} is written, proven by ${openedBy}; no node encrypts by it before ${encryptsFrom}`),
      '\n',
      ...renderFailures(failures),
      'Until then every other control-plane node has to know it, or it cannot decrypt what this one encrypts:\n',
      '  sealctl kms keyring export FILE     here\n',
      '  sealctl kms keyring import FILE     on each other node; its KMS plugin finds it by itself\n',
      KEEP_A_COPY,
    ].join(''),
  }
}

/** `sealctl kms keyring retire`. */
export async function runRetire({ options, args, context }: KmsCall<RetireOptions>): Promise<CommandResult> {
  const [text = ''] = args
  const proof = await proofOf(options, text, context)
  await confirmEveryNode(options, text, { proof, context })
  await using node = await openKmsNode(options.config)
  const { retired, keptAs, keyring, openedBy, failures } = await retireVersions(
    node,
    {
      ...{ version: Number(text), proof, kubernetesClusterId: node.kms.clusterId },
      ...{ activationDelayMs: node.kms.rotation.activationDelayMs, nowMs: Date.now() },
      encryptingHere: await encryptingHere(node.kms, node.config.store, context.signal),
    },
    context.signal,
  )
  const versions = versionsOf(keyring, node)
  return {
    json: { retired, verified: lookOf(proof), keptAs, openedBy, versions, failures: failuresOf(failures) },
    text: [
      renderVersions(versions),
      `\nretired now: ${retired.join(', ')}\n`,
      plain(describeProof(proof)) + '\n',
      ...renderFailures(failures),
      plain(`the keyring from before is kept as ${keptAs}. If something answers KMS_VERSION_RETIRED:`) + '\n',
      plain(`  sealctl kms keyring restore ${keptAs}`) + '\n',
      'Bring it to the other nodes, which decrypt by it until then:\n',
      '  sealctl kms keyring export FILE                       here\n',
      '  sealctl kms keyring import FILE --accept-retired      on each other node\n',
    ].join(''),
  }
}

/** @throws {@link SealctlError} `SEALCTL_USAGE`, `SEALCTL_NOT_CONFIRMED`, `SEALCTL_NO_TERMINAL`, `SEALCTL_INPUT_UNREADABLE`; {KmsKeyringError}. */
async function proofOf(
  { verified, iHaveVerified, confirm }: RetireOptions,
  version: string,
  context: CommandContext,
): Promise<RetirementProof> {
  if ((verified === undefined) === !iHaveVerified) {
    throw new SealctlError(
      'SEALCTL_USAGE',
      'what is encrypted by a retired version cannot be read: show that nothing is, with --verified FILE of sealctl kms verify-rotation, or say --i-have-verified',
    )
  }
  if (verified !== undefined) {
    return {
      kind: 'verification',
      verification: parseRotationVerification(await readTextFile(verified, RECORD_ADVICE)),
    }
  }
  await confirmName(context, {
    name: version,
    what: `Whatever is still encrypted by version ${version} or an older one, also in backups of etcd, cannot be read any more.`,
    given: confirm,
  })
  return { kind: 'word-of-operator' }
}

/** What was looked at, for programs; null: nothing but an operator's word. */
function lookOf(proof: RetirementProof) {
  if (proof.kind === 'word-of-operator') return null
  const { verifiedAtMs, etcds } = proof.verification
  return { verifiedAt: new Date(verifiedAtMs).toISOString(), etcds }
}

/** Which etcds were looked at: one of another cluster would have nothing against it. */
function describeProof(proof: RetirementProof): string {
  const look = lookOf(proof)
  if (look === null) return 'no etcd was looked at: this is on your word'
  return `by the record of a look on ${look.verifiedAt} through etcd ${look.etcds.map(describeEtcd).join('; etcd ')}`
}

/**
 * A node that lags behind, or lacks the newer version, would lose what it writes from now on.
 *
 * @throws {@link SealctlError} `SEALCTL_NOT_CONFIRMED`, `SEALCTL_NO_TERMINAL`.
 */
async function confirmEveryNode(
  { everyNodeVerified }: RetireOptions,
  version: string,
  { proof, context }: { readonly proof: RetirementProof; readonly context: CommandContext },
): Promise<void> {
  await confirmName(context, {
    name: EVERY_NODE,
    what:
      `Version ${version} goes ${describeProof(proof)}. Run sealctl kms verify-key on every control-plane node now: each must name a version newer than ${version} as the plugin’s. ` +
      'What a node that does not goes on writing can be read by nobody afterwards.',
    given: everyNodeVerified ? EVERY_NODE : undefined,
    option: '--every-node-verified',
  })
}
