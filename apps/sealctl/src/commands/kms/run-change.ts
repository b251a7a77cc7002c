import { readFile } from 'node:fs/promises'
import { type SealFailure } from '@sealwright/unseal'
import {
  parseRotationVerification,
  type RetirementProof,
  retireVersions,
  rotateKeyring,
} from '@sealwright/kms-backends'
import { errorCodeOf } from '@sealwright/system-error'
import { type CommandResult } from '../../command.ts'
import { type CommandContext } from '../../context.ts'
import { SealctlError } from '../../errors.ts'
import { plain } from '../../render/plain.ts'
import { confirmName } from '../../terminal/ask.ts'
import { type RetireOptions, type RotateOptions } from './keyring.ts'
import { renderVersions, versionsOf } from './keyring-view.ts'
import { type KmsCall } from './kms-command.ts'
import { openKmsNode } from './open-kms-node.ts'

const MS_PER_MINUTE = 60_000

/** `sealctl kms keyring rotate`. */
export async function runRotate({ options, context }: KmsCall<RotateOptions>): Promise<CommandResult> {
  await using node = await openKmsNode(options.config)
  const rotated = await rotateKeyring(node, { handOutMs: options.handOut * MS_PER_MINUTE }, context.signal)
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
    ].join(''),
  }
}

/** `sealctl kms keyring retire`. */
export async function runRetire({ options, args, context }: KmsCall<RetireOptions>): Promise<CommandResult> {
  const [text = ''] = args
  const proof = await proofOf(options, text, context)
  await using node = await openKmsNode(options.config)
  const { retired, keyring, openedBy, failures } = await retireVersions(
    node,
    {
      ...{ version: Number(text), proof, kubernetesClusterId: node.kms.clusterId },
      ...{ activationDelayMs: node.kms.rotation.activationDelayMs, nowMs: Date.now() },
    },
    context.signal,
  )
  const versions = versionsOf(keyring, node)
  return {
    json: { retired, openedBy, versions, failures: failuresOf(failures) },
    text: [
      renderVersions(versions),
      `\nretired now: ${retired.join(', ')}\n`,
      ...renderFailures(failures),
      'Bring it to the other nodes, which decrypt by it until then: sealctl kms keyring export, and import there\n',
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
      'what is encrypted by a retired version is lost: show that nothing is, with --verified FILE of sealctl kms verify-rotation, or say --i-have-verified',
    )
  }
  if (verified !== undefined) {
    return { kind: 'verification', verification: parseRotationVerification(await readText(verified)) }
  }
  await confirmName(context, {
    name: version,
    what: `Whatever is still encrypted by version ${version} or an older one, also in backups of etcd, can never be decrypted again.`,
    given: confirm,
  })
  return { kind: 'word-of-operator' }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new SealctlError('SEALCTL_INPUT_UNREADABLE', `cannot read ${path} (${errorCodeOf(cause) ?? 'no code'})`, {
      cause,
    })
  }
}

function failuresOf(failures: ReadonlyMap<string, SealFailure>) {
  return [...failures].map(([name, { code, message }]) => ({ name, code, message }))
}

function renderFailures(failures: ReadonlyMap<string, SealFailure>): readonly string[] {
  return failuresOf(failures).map(
    ({ name, code, message }) => plain(`${name} was not reached and is caught up later: ${code}: ${message}`) + '\n',
  )
}
