import { labelWarnings } from './label-warnings.ts'
import { fakeSeal } from './testing/fake-seal.ts'
import { absent, newTpm, reseal, testNode, type TestNode } from './testing/test-node.ts'

let node: TestNode

beforeEach(async () => {
  node = await testNode()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
})

describe('a label', () => {
  it('is that of a new member, and nothing is said of it', async () => {
    const report = await node.run({ label: 'n1' })
    expect(report.keyring.members).toMatchObject([{ label: 'n1' }])
    expect(labelWarnings(report, 'n1')).toEqual([])
    expect(labelWarnings(report, undefined)).toEqual([])
  })

  it('that a member has stays, also if its records are made anew, and the way to another one is named', async () => {
    await node.run({ label: 'ubuntu' })
    await node.rotate()
    for (const change of [{}, reseal]) {
      const report = await node.run({ ...change, label: 'n1' })
      expect(report.keyring.members).toMatchObject([{ label: 'ubuntu', entryVersion: 1 }])
      expect(labelWarnings(report, 'n1')).toEqual([
        expect.stringMatching(/^--label n1 was ignored: .* called ubuntu\. .*: sealctl init --seal tpm --label n1$/),
      ])
    }
  })

  it('is not that of another TPM of the seal', async () => {
    await node.run({ label: 'old' })
    node.seal.useDevice('second')
    const report = await node.run({ ...newTpm, label: 'n1' })
    expect(report.keyring.members.map(({ label }) => label).sort()).toEqual(['n1', 'old'])
    expect(labelWarnings(report, 'n1')).toEqual([])
  })

  it('is not spoken of where the seal does not open: nothing says then whose the keyring is', async () => {
    const late = fakeSeal({ name: 'late', priority: 2 })
    await node.run({ seals: [late], label: 'ubuntu' })
    late.failWith(absent)
    const report = await node.run({ seals: [late], label: 'n1' })
    expect(report.seals).toMatchObject([{ name: 'late', state: 'fails' }])
    expect(labelWarnings(report, 'n1')).toEqual([])
  })
})
