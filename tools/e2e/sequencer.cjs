// Tests that wait for minutes begin first, so that the others run beside them.
const Sequencer = require('@jest/test-sequencer').default

const LONG = ['kms-api-server-key.test.ts', 'tpm-late.test.ts']

module.exports = class LongestFirst extends Sequencer {
  sort(tests) {
    const waits = ({ path }) => (LONG.some(name => path.endsWith(name)) ? 0 : 1)
    return [...super.sort(tests)].sort((a, b) => waits(a) - waits(b))
  }
}
