import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf, isStamped, repositoryRoot, stamp } from './paths.mjs'
import { run } from './run.mjs'
import { say } from './say.mjs'

/**
 * Installs what package-lock.json names, Node 24 among it.
 *
 * @returns whether anything was installed.
 */
export async function installNodeModules() {
  const digest = digestOf(join(repositoryRoot, 'package-lock.json'))
  if (isStamped('node-modules', digest) && existsSync(join(repositoryRoot, 'node_modules/.bin/node'))) return false
  say('installs the npm packages of package-lock.json, among them Node 24 (about a minute)')
  // No package needs its install script here, so none gets to run one.
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: repositoryRoot })
  await run(join(repositoryRoot, 'node_modules/.bin/node'), ['--version'])
  stamp('node-modules', digest)
  return true
}
