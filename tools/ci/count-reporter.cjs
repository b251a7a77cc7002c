// Writes how many tests of a project passed, failed and were skipped, and what the failed ones said, so that the whole
// run can end with the failures and one line of sums.
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
      failures: results.testResults.flatMap(file => failuresOf(file)),
    }
    writeFileSync(this.outputFile, `${JSON.stringify(count)}\n`)
  }
}

/** What one file's failures were: each test with its messages, or the file itself where it did not even load. */
function failuresOf({ testFilePath, testExecError, failureMessage, testResults }) {
  if (testExecError) return [{ test: testFilePath, message: failureMessage ?? testExecError.message }]
  return testResults
    .filter(({ status }) => status === 'failed')
    .map(({ fullName, failureMessages }) => ({
      test: `${testFilePath} › ${fullName}`,
      message: failureMessages.join('\n'),
    }))
}
