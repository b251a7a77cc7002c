import { spawn } from 'node:child_process'
import {
  accessSync,
  constants,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createHash } from 'node:crypto'
import { basename, dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { clearInterval, setInterval } from 'node:timers'
import { fileURLToPath } from 'node:url'
import { cacheFolder } from './cache.mjs'
import { findOrInstallGo, goEnvironment } from './go.mjs'
import { repositoryRoot, toolsFolder } from './paths.mjs'
import { SetupError, say } from './say.mjs'

const progressIntervalMs = 20_000

/**
 * Builds programs of a Go module and puts them at `.tools/bin`, as links into the cache: they are built once for all clones
 * that have the same sources.
 *
 * @param {object} module
 * @param {string} module.folder - of the go.mod, below the repository.
 * @param {Record<string, string>} module.programs - the folder of each one's `main` package, below that of the go.mod.
 * @param {string} module.why - said before a build, with how long it takes.
 * @param {Record<string, string>} [module.variables] - Go variables that the linker sets, by their full name.
 * @returns whether anything was built.
 */
export async function buildGoPrograms({ folder, programs, why, variables = {} }) {
  const source = join(repositoryRoot, folder)
  const go = await findOrInstallGo(minimumGo(source))
  const digest = digestOfModule(source, go.version, variables)
  const target = join(cacheFolder(), basename(folder), digest)
  const missing = Object.entries(programs).filter(([program]) => !isProgram(join(target, program)))
  if (missing.length > 0) {
    say(why)
    makeFolder(target)
    for (const [program, main] of missing) {
      await buildProgram({ go: go.program, source, program, main: `./${main}`, target, variables })
    }
  }
  for (const program of Object.keys(programs)) link(join(target, program), join(toolsFolder, 'bin', program))
  return missing.length > 0
}

function minimumGo(source) {
  const minimum = /^go (\d+(?:\.\d+)+)$/m.exec(readFileSync(join(source, 'go.mod'), 'utf8'))?.[1]
  if (minimum === undefined) throw new SetupError(`${source}/go.mod names no Go version`)
  return minimum
}

/** Hex SHA-256 over all that decides what the programs are; this file is a part of it. */
function digestOfModule(source, goVersion, variables) {
  const sources = readdirSync(source, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && /(^go\.(mod|sum)|(?<!_test)\.go)$/.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
  const hash = createHash('sha256').update(JSON.stringify([goVersion, variables]))
  for (const path of [fileURLToPath(import.meta.url), ...sources]) {
    const bytes = readFileSync(path)
    hash.update(JSON.stringify([relative(source, path), bytes.length])).update(bytes)
  }
  return hash.digest('hex')
}

/** Two builds may run at once: each writes a file of its own, and the last one to end puts its own in place. */
async function buildProgram({ go, source, program, main, target, variables }) {
  const unproven = join(target, `.${program}.${process.pid}`)
  const defined = Object.entries(variables).flatMap(([name, value]) => ['-X', `${name}=${value}`])
  const flags = ['-trimpath', '-buildvcs=false', `-ldflags=${['-s', '-w', ...defined].join(' ')}`]
  try {
    say(`${program}: looks at its packages, and downloads those that are missing`)
    const stale = new Set()
    await runGo(go, ['list', ...flags, '-deps', '-f', '{{if .Stale}}{{.ImportPath}}{{end}}', main], source, line => {
      if (line !== '') stale.add(line)
    })
    const tell = progressOf(program, stale)
    try {
      await runGo(go, ['build', ...flags, '-v', '-o', unproven, main], source, tell.line)
    } finally {
      tell.stop()
    }
    renameSync(unproven, join(target, program))
  } finally {
    rmSync(unproven, { force: true })
  }
}

/** Says now and then how many of the `stale` packages are compiled; Go names each on a line. */
function progressOf(program, stale) {
  const startedAtMs = Date.now()
  let compiled = 0
  const timer = setInterval(() => {
    const seconds = Math.round((Date.now() - startedAtMs) / 1000)
    const elapsed = `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
    say(`${program}: ${compiled} of ${stale.size} packages compiled after ${elapsed}`)
  }, progressIntervalMs)
  return {
    line: text => {
      if (stale.has(text)) compiled += 1
    },
    stop: () => clearInterval(timer),
  }
}

/** Runs Go and hands over each line that it prints; the lines are shown only when it fails. */
async function runGo(go, args, cwd, onLine) {
  const child = spawn(go, args, { cwd, env: goEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
  const last = []
  const read = async stream => {
    for await (const line of createInterface({ input: stream })) {
      onLine(line)
      last.push(line)
      if (last.length > 40) last.shift()
    }
  }
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal))
  })
  const [code] = await Promise.all([ended, read(child.stdout), read(child.stderr)]).catch(cause => {
    throw new SetupError(`cannot run ${go}: ${cause.message}`, { cause })
  })
  if (code !== 0) throw new SetupError(`\`go ${args[0]}\` in ${cwd} ended with ${code}:\n${last.join('\n')}`)
}

function makeFolder(path) {
  try {
    mkdirSync(path, { recursive: true })
  } catch (cause) {
    throw new SetupError(`cannot make ${path} (${cause.code}): name another folder in SEALWRIGHT_CACHE`, { cause })
  }
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false // not built yet
  }
}

/** Makes `path` a symbolic link to `target`, in one step, so that no one finds it missing meanwhile. */
function link(target, path) {
  if (linkTarget(path) === target) return
  mkdirSync(dirname(path), { recursive: true })
  const unproven = `${path}.${process.pid}`
  symlinkSync(target, unproven)
  renameSync(unproven, path)
}

function linkTarget(path) {
  try {
    return readlinkSync(path)
  } catch {
    return undefined // no link there
  }
}
