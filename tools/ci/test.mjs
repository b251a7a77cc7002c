// Everything that must hold before a change may land: `npm test [-- PROJECT…] [-- --fresh]`.
// Ends with the line `N passed, N failed`; a skipped test and a process left behind both count as failures.
import { randomUUID } from 'node:crypto'
import { processesWith } from './leftovers.mjs'
import { removeCounts, sumCounts } from './counts.mjs'
import { runStep } from './step.mjs'

const args = process.argv.slice(2)
const fresh = args.includes('--fresh')
const projects = args.filter(arg => arg !== '--fresh')
const mark = randomUUID()
const env = {
  ...process.env,
  SEALWRIGHT_TEST_RUN: mark,
  NX_NO_CLOUD: 'true',
  NX_DAEMON: 'false',
  NX_TUI: 'false',
}

const nx = (...targets) => [
  'nx',
  'run-many',
  '-t',
  ...targets,
  '--outputStyle=static',
  '--parallel=2',
  ...(projects.length > 0 ? ['-p', ...projects] : []),
  ...(fresh ? ['--skip-nx-cache'] : []),
]

const checks = [
  ['project references agree with the imports', ['nx', 'sync:check']],
  ['sources are formatted', ['prettier', '--check', '--log-level=warn', '.']],
  ['generated code is what proto/ says', ['node', 'tools/ci/check-generated.mjs']],
  ['sources lint, type-check and bundle', nx('lint', 'typecheck', 'build')],
]

removeCounts()
const total = { passed: 0, failed: 0, skipped: 0 }
for (const [title, command] of checks) {
  if (await runStep(title, command, env)) total.passed += 1
  else total.failed += 1
}
const testsPassed = await runStep('tests', nx('test'), env)
const counted = sumCounts()
total.passed += counted.passed
total.failed += counted.failed
total.skipped += counted.skipped
// A runner that died wrote no count: its failure must not vanish.
if (!testsPassed && counted.failed === 0) total.failed += 1
if (total.skipped > 0) {
  console.log(`${total.skipped} tests were skipped: a skipped test is a failed build`)
  total.failed += total.skipped
}

const leftovers = processesWith('SEALWRIGHT_TEST_RUN', mark)
for (const { pid, command } of leftovers) {
  console.log(`left behind: ${pid} ${command}`)
  process.kill(pid, 'SIGKILL')
}
if (leftovers.length > 0) total.failed += 1
else total.passed += 1

// Said again at the end: in a log of thousands of lines nobody finds them.
const linesOfEach = 25
for (const { test, message } of counted.failures) {
  console.log(`failed: ${test}\n${message.split('\n').slice(0, linesOfEach).join('\n')}\n`)
}
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed === 0 ? 0 : 1
