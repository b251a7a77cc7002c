import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { repositoryRoot } from '@sealwright/testing-rig'

const APPS = ['apps/bootstrap-init', 'apps/unsealer-sidecar', 'apps/sealctl']

/** Bundles the programs of the lab from the sources as they are now; takes well under a second. */
export async function buildApps(): Promise<void> {
  const root = repositoryRoot()
  await promisify(execFile)(process.execPath, [join(root, 'tools/build/app.mjs'), ...APPS], { cwd: root })
}
