import { globSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '../setup/paths.mjs'

// Written by count-reporter.cjs, and restored by nx when a project's tests are taken from its cache.
const countFiles = () => globSync('{apps,libs/*,tools}/*/dist/test-count.json', { cwd: repositoryRoot })

/** Removes the counts of earlier runs, so that a project that no longer runs is not counted. */
export function removeCounts() {
  for (const file of countFiles()) rmSync(join(repositoryRoot, file))
}

/** Adds up the counts of all projects that ran, and gathers their failures. */
export function sumCounts() {
  const total = { passed: 0, failed: 0, skipped: 0, failures: [] }
  for (const file of countFiles()) {
    const { failures, ...count } = JSON.parse(readFileSync(join(repositoryRoot, file), 'utf8'))
    for (const key of Object.keys(count)) total[key] += count[key]
    total.failures.push(...failures)
  }
  return total
}
