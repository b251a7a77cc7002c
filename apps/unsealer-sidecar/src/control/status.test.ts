import { parseStatusView } from '@sealwright/control-api'
import { type SealHealth } from '@sealwright/unseal'
import { viewSeals, viewStatus } from './status.ts'

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
})
