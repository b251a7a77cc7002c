import { type SealView, type StatusView } from '@sealwright/control-api'
import { renderStatus } from './status.ts'

const now = new Date('2026-01-02T03:04:05.000Z')
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000).toISOString()

const status: StatusView = {
  version: '0.1.0',
  pid: 4242,
  startedAt: minutesAgo(30),
  state: 'open',
  store: '/var/lib/sealwright/seal',
  keyring: { clusterId: '00', generation: 1, keyId: 'k1', openedAt: minutesAgo(30), openedBy: 'tpm' },
  seals: [
    {
      name: 'tpm',
      type: 'tpm',
      priority: 1,
      disabled: false,
      health: { state: 'healthy', unwrappedAt: minutesAgo(0), tookMs: 4.1 },
    },
  ],
  sessions: 1,
  openbao: { state: 'active', address: 'https://127.0.0.1:8200', version: '2.7.2' },
}

describe('the status that an operator reads', () => {
  it('says that a node is ready', () => {
    expect(renderStatus(status, now)).toBe(
      [
        'verdict   ready',
        'agent     open, version 0.1.0, pid 4242, up 30 min',
        'store     /var/lib/sealwright/seal',
        'keyring   generation 1, key k1, opened by tpm 30 min ago',
        'seal      tpm (tpm, priority 1): opens, unwrapped 0 s ago in 4.1 ms',
        'openbao   https://127.0.0.1:8200: active, version 2.7.2',
        'sessions  1 OpenBao server connected',
        '',
      ].join('\n'),
    )
  })

  it('says first why a node is not ready, with the code and what waits for an operator', () => {
    const failing = {
      state: 'failing',
      code: 'TPM_PIN_WRONG',
      message: 'the PIN was refused',
      since: minutesAgo(60 * 24 * 3),
      failuresInARow: 1,
      retrying: false,
    } as const
    const [seal] = status.seals
    const text = renderStatus(
      {
        ...status,
        state: 'sealed',
        keyring: undefined,
        seals: [{ ...seal, health: failing } as StatusView['seals'][number]],
        sessions: 0,
        openbao: {
          state: 'unreachable',
          address: 'https://127.0.0.1:8200',
          code: 'OPENBAO_UNREACHABLE',
          message: 'refused',
        },
      },
      now,
    )
    expect(text.split('\n').slice(0, 4)).toEqual([
      'verdict   NOT READY',
      '          no seal has opened the keyring',
      '          OpenBao does not answer: refused',
      '          seal tpm does not open: TPM_PIN_WRONG: the PIN was refused',
    ])
    expect(text).toContain('tpm (tpm, priority 1): TPM_PIN_WRONG for 3 days, waits for an operator')
    expect(text).toContain(`once that is mended, here or in node.yaml: kill -HUP ${status.pid}`)
    expect(text).toContain('keyring   not open')
    expect(text).toContain('https://127.0.0.1:8200: OPENBAO_UNREACHABLE')
  })

  it('says why a node that works would not open next time, and what to do', () => {
    const refusedKeyring = {
      ...{ code: 'KEYRING_LINK_BROKEN', message: 'the chain was broken', keyId: 'k2', since: minutesAgo(5) },
    }
    expect(
      renderStatus({ ...status, refusedKeyring }, now)
        .split('\n')
        .slice(0, 4),
    ).toEqual([
      'verdict   AT RISK',
      expect.stringContaining("OpenBao's leader encrypts under the key k2, which this node does not have") as string,
      '          its keyring does not help here: KEYRING_LINK_BROKEN: the chain was broken',
      expect.stringContaining('sealctl enroll approve') as string,
    ])
    expect(renderStatus({ ...status, refusedKeyring }, now)).toMatch(/^leader +key k2, refused for 5 min$/m)
  })

  it('says how far each set of shares is, and how to enter them while the node is sealed', () => {
    const [tpm] = status.seals
    const people: SealView = {
      ...{ name: 'people', type: 'shamir', priority: 9, disabled: false, health: { state: 'untried' } },
      sets: [
        { label: 'board', threshold: 3, count: 5, entered: [2] },
        { label: 'crew', threshold: 2, count: 3, entered: [] },
      ],
    }
    const seals = tpm === undefined ? [people] : [tpm, people]
    const sets = [
      'seal      people (shamir, priority 9): opens by shares of people',
      '          board: 3 of 5 shares open it, in: 1 of 3 (2)',
      '          crew: 2 of 3 shares open it, none is in',
    ].join('\n')
    const sealed = renderStatus({ ...status, state: 'sealed', keyring: undefined, seals }, now)
    expect(sealed).toContain(`${sets}\n          to open by them: sealctl unseal --seal people\n`)
    const open = renderStatus({ ...status, seals }, now)
    expect(open).toContain(sets)
    expect(open).not.toContain('sealctl unseal')
  })

  it('sends no escape sequence of a hostile server to the terminal', () => {
    const hostile = { ...status, openbao: { ...status.openbao, version: '\u001b[2Jowned' } as StatusView['openbao'] }
    expect(renderStatus(hostile, now)).toContain('version \\x1b[2Jowned')
  })
})
