import { parseNodeConfig, type NodeConfig } from '@sealwright/node-config'
import { localSeals } from './local-seals.ts'

const programs = { pkcs11Program: { command: '/nonexistent', args: [] } } as const

function configOf(...seals: readonly Readonly<Record<string, unknown>>[]): NodeConfig {
  return parseNodeConfig(
    JSON.stringify({ seals: seals.map((seal, index) => ({ type: 'tpm', priority: index + 1, ...seal })) }),
    'node.yaml',
  )
}

describe('the seals of a node', () => {
  it('change with its configuration, and what it leaves alone stays', async () => {
    await using seals = localSeals(configOf({ name: 'a' }, { name: 'b' }, { name: 'c' }), programs)
    const [first] = seals.all()
    const next = configOf(
      { name: 'a' },
      { name: 'b', deadlineMs: 7_000 },
      { name: 'people', type: 'shamir', priority: 9 },
      { name: 'off', disabled: true },
    )
    expect(await seals.replace(next)).toEqual({ added: ['people', 'off'], changed: ['b'], removed: ['c'] })
    expect(seals.all()[0]).toBe(first)
    expect(seals.configured().map(({ name }) => name)).toEqual(['a', 'b', 'people', 'off'])
    expect(seals.enabled().map(({ name }) => name)).toEqual(['a', 'b'])
  })

  it('are made anew once the configuration says which cluster it is: then a TPM opens what others made for it', async () => {
    await using seals = localSeals(configOf({ name: 'a' }), programs)
    const pinned = { ...configOf({ name: 'a' }), clusterId: '0'.repeat(32) }
    expect(await seals.replace(pinned)).toEqual({ added: [], changed: ['a'], removed: [] })
  })
})
