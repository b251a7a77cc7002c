import { type KmsConfig } from '@sealwright/kms-config'
import { errorCodeOf } from '@sealwright/system-error'
import { type CommandResult } from '../../command.ts'
import { EXIT_CODES } from '../../exit-codes.ts'
import { plain } from '../../render/plain.ts'
import { type Check, failed, type Outcome, passed, skipped, wordsOf } from './doctor/check.ts'
import { checkEncryptionConfig } from './doctor/encryption-config-check.ts'
import { checkKeyring, checkTransitKey } from './doctor/key-checks.ts'
import { checkNode } from './doctor/local-checks.ts'
import { checkAccess } from './doctor/openbao-access.ts'
import { checkNodes } from './doctor/openbao-nodes.ts'
import { checkPlugin } from './doctor/plugin-checks.ts'
import { type KmsCall } from './kms-command.ts'
import { loadKmsConfig } from './load-config.ts'

export interface DoctorOptions {
  readonly encryptionConfig?: string
}

/** `sealctl kms doctor`. */
export async function runDoctor({ options, context }: KmsCall<DoctorOptions>): Promise<CommandResult> {
  const { signal } = context
  const checks = await checkAll(options, { now: context.now(), signal })
  // What was cut short found nothing: it must not pass for a failure of what was looked at.
  signal.throwIfAborted()
  const count = (outcome: Outcome): number => checks.filter(check => check.outcome === outcome).length
  const [failures, warnings] = [count('failed'), count('warning')]
  return {
    json: { failures, warnings, checks },
    text: [
      ...checks.map(render),
      `\n${failures} failed, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}, ${count('passed')} passed\n`,
    ].join(''),
    exitCode: failures > 0 ? EXIT_CODES.notReady : warnings > 0 ? EXIT_CODES.atRisk : EXIT_CODES.done,
  }
}

interface World {
  readonly now: Date
  readonly signal: AbortSignal
}

async function checkAll(
  { config: path, encryptionConfig }: DoctorOptions & { readonly config: string },
  { now, signal }: World,
): Promise<readonly Check[]> {
  let config: KmsConfig
  try {
    config = await loadKmsConfig(path)
  } catch (error) {
    const found = `${errorCodeOf(error) ?? 'error'}: ${wordsOf(error)}`
    return [
      failed(
        'config-readable',
        found,
        'write it, or name another with --config FILE; an example is deploy/kms/kms.yaml, all fields are in the README of kms-plugin',
      ),
    ]
  }
  const plugin = await checkPlugin(config, signal)
  const { keyId } = plugin
  return [
    passed('config-readable', `${path}: cluster ${config.clusterId}, backend ${config.backend.type}`),
    ...(await checkNode(config, now)),
    ...plugin.checks,
    ...(await checkBackend(config, keyId, { now, signal })),
    ...(encryptionConfig === undefined ? [] : await checkEncryptionConfig(encryptionConfig, config)),
  ]
}

async function checkBackend(
  config: KmsConfig,
  keyId: string | undefined,
  { now, signal }: World,
): Promise<readonly Check[]> {
  const { backend } = config
  if (backend.type === 'keyring') return await checkKeyring(config, { keyId, now, signal })
  const nodes = await checkNodes(config, backend, { now, signal })
  if (nodes.usableAddress === undefined) return [...nodes.checks, skipped('login', 'no node can serve')]
  return [
    ...nodes.checks,
    ...(await checkAccess(nodes.usableAddress, backend, signal)),
    ...(await checkTransitKey(config, { keyId, now, signal })),
  ]
}

const MARKS: Readonly<Record<Outcome, string>> = {
  passed: 'ok     ',
  note: 'note   ',
  warning: 'WARNING',
  failed: 'FAILED ',
  skipped: 'skipped',
}

function render({ id, outcome, found, remedy }: Check): string {
  const line = plain(`${MARKS[outcome]}  ${id}: ${found}`)
  return remedy === undefined ? `${line}\n` : `${line}\n         ${plain(remedy)}\n`
}
