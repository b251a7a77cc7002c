import { type AuditEvent } from '@sealwright/audit'
import { Secret } from '@sealwright/secret'
import { type CeremonyState, type SealOperations } from '../control/operations.ts'
import { auditedOperations } from './audited.ts'

const { signal } = new AbortController()
const caller = { processId: 7, userId: 1000 }
const state: CeremonyState = {
  ...{ sealName: 'people', setLabel: 'default', threshold: 2, count: 3, entered: [3], nonce: 'ab', isComplete: false },
}

/** Operations of which a test gives those that it needs. */
function audited(given: Partial<SealOperations>) {
  const events: AuditEvent[] = []
  return { events, operations: auditedOperations(given as SealOperations, event => events.push(event)) }
}

describe('reading the configuration anew', () => {
  const request = { tend: true, caller }

  it('is written down with the number of its seals, the disabled ones too', async () => {
    const result = { added: ['b'], changed: [], removed: [], enabled: ['a'] }
    const seal = { type: 'tpm', members: [], hasOpened: false }
    const { events, operations } = audited({
      reload: () => Promise.resolve(result),
      seals: () => [
        { ...seal, name: 'a', configured: { priority: 1, disabled: false } },
        { ...seal, name: 'b', configured: { priority: 2, disabled: true } },
        { ...seal, name: 'of-another-node', configured: undefined },
      ],
    })
    expect(await operations.reload(request)).toBe(result)
    expect(events).toEqual([{ kind: 'config-reloaded', seals: 2 }])
  })

  it('is written down when it is refused, and refused all the same', async () => {
    const refusal = Object.assign(new Error('wrong'), { code: 'CONFIG_INVALID' })
    const { events, operations } = audited({ reload: () => Promise.reject(refusal) })
    await expect(operations.reload(request)).rejects.toBe(refusal)
    expect(events).toEqual([{ kind: 'config-refused', code: 'CONFIG_INVALID' }])
  })
})

describe('what people do with shares', () => {
  it('is written down with who did it and which share, never with its value', async () => {
    using share = new Secret(Buffer.from('sw-share-1-secret'))
    const { events, operations } = audited({
      enterShare: () => Promise.resolve({ ...state, entered: [3, 1], isComplete: true }),
    })
    await operations.enterShare({ sealName: undefined, nonce: undefined, share, caller }, signal)
    expect(events).toMatchObject([
      { kind: 'share-entered', seal: 'people', index: 1, entered: 2, threshold: 2, pid: 7, uid: 1000 },
      { kind: 'ceremony-completed', purpose: 'unseal' },
    ])
    expect(JSON.stringify(events)).not.toContain('secret')
  })

  it('is written down when a share is refused, and refused all the same', async () => {
    using share = new Secret(Buffer.from('x'))
    const refusal = Object.assign(new Error('wrong'), { code: 'SHAMIR_SHARE_WRONG' })
    const { events, operations } = audited({ enterShare: () => Promise.reject(refusal) })
    const entering = operations.enterShare({ sealName: 'people', nonce: undefined, share, caller }, signal)
    await expect(entering).rejects.toBe(refusal)
    expect(events).toMatchObject([{ kind: 'share-refused', seal: 'people', code: 'SHAMIR_SHARE_WRONG' }])
  })

  it('is written down for a reset, a rehearsal and a new set', async () => {
    const { events, operations } = audited({
      resetShares: () => Promise.resolve(state),
      rehearse: () =>
        Promise.resolve({
          ...{ sealName: 'people', setLabel: 'default', threshold: 2, isQuorum: false },
          shares: [{ index: 1, isRight: true }],
        }),
      confirmShares: () =>
        Promise.resolve({
          ...{ sealName: 'people', sealType: 'shamir', memberId: 'ff', label: 'default', state: 'active' },
          ...{ fingerprint: 'fe', isReachableByPublicKey: true, records: [], shares: { threshold: 2, count: 3 } },
        }),
    })
    await operations.resetShares({ sealName: 'people', caller })
    await operations.rehearse({ sealName: 'people', shares: [], caller }, signal)
    await operations.confirmShares({ sealName: 'people', memberId: 'ff', caller }, signal)
    expect(events).toMatchObject([
      { kind: 'ceremony-reset', seal: 'people', reason: 'asked for' },
      { kind: 'rehearsal-ended', entered: 1, passed: false },
      { kind: 'shares-created', shareSet: 'ff', shares: 3, threshold: 2 },
    ])
  })
})
