import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { repositoryRoot } from '@sealwright/testing-rig'

/** The programs of a node that opens itself. */
export const NODE_APPS = ['apps/bootstrap-init', 'apps/unsealer-sidecar', 'apps/sealctl']
/** The programs of a control-plane node. */
export const KMS_APPS = ['apps/kms-plugin', 'apps/sealctl']

/** Bundles these programs from the sources as they are now; takes well under a second. */
export async function buildApps(apps: readonly string[]): Promise<void> {
  const root = repositoryRoot()
  await promisify(execFile)(process.execPath, [join(root, 'tools/build/app.mjs'), ...apps], { cwd: root })
}
