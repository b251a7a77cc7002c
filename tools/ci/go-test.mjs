// Runs the tests of a Go module, and writes their count as count-reporter.cjs does: `node tools/ci/go-test.mjs FOLDER`.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { findOrInstallGo, goEnvironment } from '../setup/go.mjs'
import { repositoryRoot } from '../setup/paths.mjs'

const folder = join(repositoryRoot, process.argv[2] ?? '')
const minimum = /^go (\d+(?:\.\d+)+)$/m.exec(readFileSync(join(folder, 'go.mod'), 'utf8'))?.[1]
const { program } = await findOrInstallGo(minimum)

const count = { passed: 0, failed: 0, skipped: 0, failures: [] }
const outputs = new Map()
const child = spawn(program, ['test', '-json', './...'], {
  cwd: folder,
  env: goEnvironment(),
  stdio: ['ignore', 'pipe', 'inherit'],
})
const ended = new Promise(resolve => child.once('close', resolve))

for await (const line of createInterface({ input: child.stdout })) {
  const { Action: action, Package: place, Test: test, Output: output } = parse(line)
  const name = `${place} › ${test ?? 'the package'}`
  if (action === 'output') outputs.set(name, (outputs.get(name) ?? '') + output)
  // A package fails with its tests, or alone where it does not compile.
  const isCounted = test !== undefined || action === 'fail'
  if (!isCounted) continue
  if (action === 'pass') count.passed += 1
  if (action === 'skip') count.skipped += 1
  if (action !== 'fail') continue
  count.failed += 1
  count.failures.push({ test: name, message: outputs.get(name) ?? '' })
  console.log(`failed: ${name}\n${outputs.get(name) ?? ''}`)
}
const code = await ended
if (code !== 0 && count.failed === 0) {
  count.failed = 1
  count.failures.push({ test: folder, message: `go test ended with ${code}` })
}
mkdirSync(join(folder, 'dist'), { recursive: true })
writeFileSync(join(folder, 'dist/test-count.json'), `${JSON.stringify(count)}\n`)
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
process.exitCode = count.failed === 0 ? 0 : 1

/** What the compiler says is no JSON. */
function parse(line) {
  try {
    return JSON.parse(line)
  } catch {
    console.log(line)
    return {}
  }
}
