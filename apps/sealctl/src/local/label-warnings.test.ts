import { labelWarnings } from './label-warnings.ts'

const called = (label: string) => new Map([['tpm', label]])

describe('the label of a TPM after a recovery', () => {
  it('is no news where it is the one that was asked for, or that of a server of the snapshot', () => {
    expect(labelWarnings(called('node-a'), undefined, ['node-a', 'node-b'])).toEqual([])
    expect(labelWarnings(called('node-a'), 'node-a', undefined)).toEqual([])
    expect(labelWarnings(called('ubuntu'), undefined, undefined)).toEqual([])
    expect(labelWarnings(new Map(), 'node-a', ['node-a'])).toEqual([])
  })

  it('is warned of where no server of the snapshot is called so', () => {
    const [warning, ...more] = labelWarnings(called('ubuntu'), undefined, ['node-a', 'node-b'])
    expect(warning).toMatch(
      /called ubuntu in the seal tpm, .*\(node-a, node-b\).*: sealctl init --seal tpm --label NODE_ID$/,
    )
    expect(more).toEqual([])
    expect(labelWarnings(called('node-d'), 'node-d', ['node-a'])).toHaveLength(1)
  })

  it('is warned of where the TPM keeps another one than was asked for', () => {
    const [warning] = labelWarnings(called('ubuntu'), 'node-a', ['node-a'])
    expect(warning).toMatch(/^--label node-a was ignored: .*: sealctl init --seal tpm --label node-a$/)
  })
})
