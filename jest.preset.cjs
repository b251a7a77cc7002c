// One Jest configuration for every project: TypeScript through swc, no global state, a result file for the final count.
const path = require('node:path')

/** Packages that ship only ES modules: Jest's CommonJS runtime needs them transformed. */
const esmOnly = [
  'p-retry',
  'is-network-error',
  'commander',
  '@bufbuild/protobuf',
  '@peculiar',
  'asn1js',
  'pvtsutils',
  'pvutils',
  'modern-tar',
]

module.exports = projectRoot => ({
  displayName: path.basename(projectRoot),
  rootDir: projectRoot,
  testEnvironment: 'node',
  testMatch: ['<rootDir>/src/**/*.test.ts'],
  transform: {
    '\\.[cm]?[jt]s$': [
      '@swc/jest',
      {
        jsc: { target: 'es2024', parser: { syntax: 'typescript' } },
        module: { type: 'commonjs' },
        swcrc: false,
      },
    ],
  },
  transformIgnorePatterns: [`/node_modules/(?!(${esmOnly.join('|')})/)`],
  testTimeout: 60_000,
  reporters: [
    'default',
    [
      path.join(__dirname, 'tools/ci/count-reporter.cjs'),
      { outputFile: path.join(projectRoot, 'dist/test-count.json') },
    ],
  ],
})
