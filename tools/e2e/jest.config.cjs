// Real programs wait more than they compute: two files at a time. Each wait has a limit of its own, which says what it waited
// for; the limit of a whole test is only the last net.
module.exports = {
  ...require('../../jest.preset.cjs')(__dirname),
  maxWorkers: 2,
  testTimeout: 600_000,
  testSequencer: `${__dirname}/sequencer.cjs`,
}
