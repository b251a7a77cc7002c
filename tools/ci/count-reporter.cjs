// Writes how many tests of a project passed, failed and were skipped, so that the whole run can end with one line.
const { mkdirSync, writeFileSync } = require('node:fs')
const { dirname } = require('node:path')

module.exports = class CountReporter {
  constructor(_globalConfig, { outputFile }) {
    this.outputFile = outputFile
  }

  onRunComplete(_contexts, results) {
    mkdirSync(dirname(this.outputFile), { recursive: true })
    const count = {
      passed: results.numPassedTests,
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
      skipped: results.numPendingTests + results.numTodoTests,
    }
    writeFileSync(this.outputFile, `${JSON.stringify(count)}\n`)
  }
}
