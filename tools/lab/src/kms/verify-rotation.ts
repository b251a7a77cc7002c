import { PROVIDER_NAME } from '@sealwright/testing-kms'
import { runProgramToEnd } from '@sealwright/testing-cluster'
import { LabError } from '../errors.ts'
import { type KmsWorld } from './world.ts'

/** What `sealctl kms verify-rotation` found in etcd. */
export interface RotationSurvey {
  /** Secrets by the version that encrypts. */
  readonly secretsByActiveVersion: number
  /** Secrets by an older one, in clear, damaged, or by whatever else. */
  readonly secretsLeftBehind: number
  /** Why an older version must stay; empty if it may be retired. */
  readonly reasons: readonly string[]
  /** What it prints for people. */
  readonly lines: readonly string[]
}

/** Its exit codes: the older versions are needed no longer, or they must stay. */
const EXIT_CODES = [0, 2]

/** Has the real `sealctl` look through etcd, as an operator does before a version is retired. */
export async function verifyRotation({ etcd, first }: KmsWorld): Promise<RotationSurvey> {
  const { groups, activeVersion, reasons } = JSON.parse(await run(['--json'])) as {
    readonly activeVersion: number
    readonly reasons: readonly string[]
    readonly groups: readonly { readonly resource: string; readonly version?: number; readonly objects: number }[]
  }
  const secrets = groups.filter(({ resource }) => resource === 'secrets')
  const count = (some: typeof secrets): number => some.reduce((sum, { objects }) => sum + objects, 0)
  return {
    secretsByActiveVersion: count(secrets.filter(({ version }) => version === activeVersion)),
    secretsLeftBehind: count(secrets.filter(({ version }) => version !== activeVersion)),
    reasons,
    lines: (await run([])).trimEnd().split('\n'),
  }

  async function run(more: readonly string[]): Promise<string> {
    const place = ['--config', first.plugin.configPath, '--etcd', etcd.endpoint, '--provider', PROVIDER_NAME]
    const args = ['kms', 'verify-rotation', ...place, ...more]
    const { exitCode, stdout, stderr } = await runProgramToEnd('sealctl', args)
    if (!EXIT_CODES.includes(exitCode))
      throw new LabError(`sealctl kms verify-rotation ended with ${exitCode}: ${stderr}`)
    return stdout
  }
}
