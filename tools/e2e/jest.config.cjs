// Real programs wait more than they compute: two files at a time.
module.exports = {
  ...require('../../jest.preset.cjs')(__dirname),
  maxWorkers: 2,
  testTimeout: 180_000,
  testSequencer: `${__dirname}/sequencer.cjs`,
}
