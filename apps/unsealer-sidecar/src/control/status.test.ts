import { parseStatusView } from '@sealwright/control-api'
import { type SealHealth } from '@sealwright/unseal'
import { viewNamedSealStatus, viewSeals, viewStatus, withShareSets } from './status.ts'

const health: Readonly<Record<string, SealHealth>> = {
  tpm: { kind: 'healthy', unwrappedAtMs: 0, tookMs: 12.34 },
}

describe('the status of the agent', () => {
  it('shows every seal, the disabled ones too, in the form that its readers check', () => {
    const seals = viewSeals(
      [
        { name: 'tpm', type: 'tpm', priority: 1, disabled: false },
        { name: 'old', type: 'tpm', priority: 2, disabled: true },
      ],
      { health: name => health[name] ?? { kind: 'untried' } },
    )
    const facts = { version: '1', pid: 1, startedAt: '2026-01-01T00:00:00.000Z', store: '/store' }
    const view = viewStatus({
      ...facts,
      held: undefined,
      refusedKeyring: undefined,
      seals,
      sessions: 0,
      openbao: { state: 'not-configured' },
    })
    expect(parseStatusView(JSON.parse(JSON.stringify(view)))).toEqual(view)
    expect(view).toMatchObject({
      state: 'sealed',
      seals: [
        { name: 'tpm', health: { state: 'healthy', tookMs: 12.3 } },
        { name: 'old', disabled: true, health: { state: 'untried' } },
      ],
    })
  })

  it('names the seal that a sealed node will try first, with its real health, and tells one seal in the words of the RFC', () => {
    const seals = viewSeals(
      [
        { name: 'late', type: 'tpm', priority: 5, disabled: false },
        { name: 'tpm', type: 'tpm', priority: 2, disabled: false },
        { name: 'off', type: 'tpm', priority: 1, disabled: true },
        { name: 'people', type: 'shamir', priority: 1, disabled: false },
      ],
      { health: name => health[name] ?? { kind: 'untried' } },
    )
    const status = viewStatus({
      ...{ version: '1', pid: 1, startedAt: '2026-01-01T00:00:00.000Z', store: '/store', held: undefined, seals },
      ...{ refusedKeyring: undefined, sessions: 0, openbao: { state: 'not-configured' } },
    })
    const healthy = { state: 'healthy', unwrappedAt: '1970-01-01T00:00:00.000Z', tookMs: 12.3 }
    expect(status.currentSeal).toEqual({ name: 'tpm', autoUnsealHealth: healthy })
    expect(viewNamedSealStatus(status, 'tpm')).toEqual({
      ...{ name: 'tpm', type: 'tpm', priority: 2, disabled: false, sealed: true, opened: false },
      autoUnsealHealth: healthy,
    })
    expect(viewNamedSealStatus(status, 'gone')).toBeUndefined()
    const keyring = {
      clusterId: '00',
      generation: 1,
      keyId: 'k',
      openedAt: '2026-01-01T00:00:00.000Z',
      openedBy: 'late',
    }
    expect(viewNamedSealStatus({ ...status, state: 'open', keyring }, 'late')).toMatchObject({
      ...{ sealed: false, opened: true },
    })
  })

  it('tells of a keyring that was refused, and since when', () => {
    const refusedKeyring = { code: 'KEYRING_LINK_BROKEN', message: 'out of reach', keyId: 'k2', sinceMs: 0 }
    const view = viewStatus({
      ...{ version: '1', pid: 1, startedAt: '2026-01-01T00:00:00.000Z', store: '/store', held: undefined, seals: [] },
      ...{ refusedKeyring, sessions: 0, openbao: { state: 'not-configured' } },
    })
    expect(parseStatusView(JSON.parse(JSON.stringify(view)))).toMatchObject({
      refusedKeyring: { code: 'KEYRING_LINK_BROKEN', keyId: 'k2', since: '1970-01-01T00:00:00.000Z' },
    })
  })

  it('tells the sets of shares of a Shamir seal, and which shares are in', () => {
    const seals = viewSeals([{ name: 'people', type: 'shamir', priority: 9, disabled: false }], {
      health: () => ({ kind: 'untried' }),
    })
    const status = viewStatus({
      ...{ version: '1', pid: 1, startedAt: '2026-01-01T00:00:00.000Z', store: '/store', held: undefined, seals },
      ...{ refusedKeyring: undefined, sessions: 0, openbao: { state: 'not-configured' } },
    })
    const set = { sealName: 'people', setLabel: 'board', threshold: 2, count: 3, nonce: 'ab', isComplete: false }
    expect(viewNamedSealStatus(status, 'people', [{ ...set, entered: [3] }])).toEqual({
      ...{ name: 'people', type: 'shamir', priority: 9, disabled: false, sealed: true, opened: false },
      autoUnsealHealth: { state: 'untried' },
      sets: [{ label: 'board', threshold: 2, count: 3, entered: [3] }],
    })
  })

  it('has the sets of shares of each Shamir seal, and stays a status where they cannot be told', async () => {
    const seals = viewSeals(
      [
        { name: 'tpm', type: 'tpm', priority: 1, disabled: false },
        { name: 'people', type: 'shamir', priority: 9, disabled: false },
        { name: 'old', type: 'shamir', priority: 10, disabled: true },
      ],
      { health: () => ({ kind: 'untried' }) },
    )
    const status = viewStatus({
      ...{ version: '1', pid: 1, startedAt: '2026-01-01T00:00:00.000Z', store: '/store', held: undefined, seals },
      ...{ refusedKeyring: undefined, sessions: 0, openbao: { state: 'not-configured' } },
    })
    const set = { setLabel: 'board', threshold: 2, count: 3, entered: [3], nonce: 'ab', isComplete: false }
    const view = await withShareSets(status, sealName => Promise.resolve([{ ...set, sealName }]))
    expect(parseStatusView(view).seals.map(({ sets }) => sets)).toEqual([
      undefined,
      [{ label: 'board', threshold: 2, count: 3, entered: [3] }],
      undefined,
    ])
    expect(await withShareSets(status, () => Promise.reject(new Error('no store')))).toEqual(status)
  })
})
