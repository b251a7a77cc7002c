// The test that waits two minutes begins first, so that the others run beside it.
const Sequencer = require('@jest/test-sequencer').default

module.exports = class LongestFirst extends Sequencer {
  sort(tests) {
    const waits = test => (test.path.endsWith('tpm-late.test.ts') ? 0 : 1)
    return [...super.sort(tests)].sort((a, b) => waits(a) - waits(b))
  }
}
