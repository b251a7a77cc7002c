import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.mjs'

/**
 * Unpacks the Python package that `requirements` pins by hash, with nothing that it depends on.
 *
 * @param environment - folder of the Python environment that is made for it. The caller moves out what it wants, and removes
 * the rest.
 * @returns the folder in which the package's modules lie.
 */
export async function unpackPythonPackage(requirements, environment) {
  rmSync(environment, { recursive: true, force: true })
  await run('python3', ['-m', 'venv', environment])
  await run(join(environment, 'bin/pip'), [
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-deps',
    '--no-compile',
    '--require-hashes',
    '--only-binary=:all:',
    '-r',
    requirements,
  ])
  const [pythonFolder] = readdirSync(join(environment, 'lib'))
  return join(environment, 'lib', pythonFolder ?? '', 'site-packages')
}
