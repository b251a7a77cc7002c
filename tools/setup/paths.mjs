import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url))

/** Git-ignored folder for programs that npm does not bring. */
export const toolsFolder = join(repositoryRoot, '.tools')

/** Hex SHA-256 over the named files, to tell whether an installation is still the right one. */
export function digestOf(...paths) {
  const hash = createHash('sha256')
  for (const path of paths) hash.update(readFileSync(path))
  return hash.digest('hex')
}

/** Whether `name` was last installed from just this digest. */
export function isStamped(name, digest) {
  const path = stampPath(name)
  return existsSync(path) && readFileSync(path, 'utf8') === digest
}

/** Remembers what `name` was installed from; written last, so that a broken installation is done again. */
export function stamp(name, digest) {
  mkdirSync(dirname(stampPath(name)), { recursive: true })
  writeFileSync(stampPath(name), digest)
}

function stampPath(name) {
  return join(toolsFolder, `${name}.sha256`)
}
