import { judge, parseStatusView, viewSealHealth, type StatusView } from './index.ts'

const healthy = { state: 'healthy', unwrappedAt: '2026-01-02T03:04:05.000Z', tookMs: 3.1 } as const
const failing = {
  state: 'failing',
  code: 'TPM_CLEARED',
  message: 'the TPM was cleared',
  since: '2026-01-02T03:04:05.000Z',
  failuresInARow: 3,
  retrying: true,
} as const
const seal = { name: 'tpm', type: 'tpm', priority: 1, disabled: false, health: healthy } as const
const status: StatusView = {
  version: '0.1.0',
  pid: 7,
  startedAt: '2026-01-02T03:04:05.000Z',
  state: 'open',
  store: '/var/lib/sealwright/seal',
  keyring: {
    clusterId: '00',
    generation: 1,
    keyId: 'k1',
    openedAt: '2026-01-02T03:04:05.000Z',
    openedBy: 'tpm',
  },
  seals: [seal],
  sessions: 1,
  openbao: { state: 'active', address: 'https://127.0.0.1:8200', version: '2.7.2', clusterId: 'c' },
}

describe('a status', () => {
  it('is read back as it was written', () => {
    expect(parseStatusView(JSON.parse(JSON.stringify(status)))).toEqual(status)
  })

  it('may carry fields of a newer agent', () => {
    expect(parseStatusView({ ...status, mood: 'good' })).toEqual(status)
  })

  it.each([
    ['nothing', undefined],
    ['an unknown state', { ...status, state: 'ajar' }],
    ['a seal without health', { ...status, seals: [{ ...seal, health: undefined }] }],
    ['a time that is none', { ...status, startedAt: 'yesterday' }],
  ])('is refused when it is %s', (_what, answer) => {
    expect(() => parseStatusView(answer)).toThrow('Invalid')
  })
})

describe('the verdict', () => {
  it('is ready when a seal was unwrapped and OpenBao is open', () => {
    expect(judge(status)).toEqual({ kind: 'ready' })
  })

  it('is at risk when the agent does not know where OpenBao is: it decrypts nothing for one that it cannot ask', () => {
    expect(judge({ ...status, openbao: { state: 'not-configured' } })).toMatchObject({
      kind: 'at-risk',
      reasons: [expect.stringContaining('openbao.address is missing')],
    })
  })

  it('is at risk when the node works but a seal would not open at the next restart', () => {
    expect(judge({ ...status, seals: [{ ...seal, health: failing }] })).toEqual({
      kind: 'at-risk',
      reasons: ['seal tpm does not open: TPM_CLEARED: the TPM was cleared'],
    })
  })

  it('is at risk when the leader encrypts under a key that this node does not have, and says what to do', () => {
    const refusedKeyring = {
      ...{ code: 'KEYRING_LINK_BROKEN', message: 'out of reach', keyId: 'k2', since: '2026-01-02T03:04:05.000Z' },
    }
    const verdict = judge({ ...status, refusedKeyring })
    expect(verdict).toEqual({
      kind: 'at-risk',
      reasons: [
        expect.stringMatching(/under the key k2, which this node does not have: .* would stay sealed here$/) as string,
        'its keyring does not help here: KEYRING_LINK_BROKEN: out of reach',
        expect.stringContaining('sealctl enroll approve') as string,
      ],
    })
    const unproven = { ...refusedKeyring, code: 'KEYRING_ORIGIN_UNPROVEN', message: 'state clusterId in node.yaml' }
    expect(judge({ ...status, refusedKeyring: unproven })).toMatchObject({
      reasons: [expect.anything(), expect.stringContaining('state clusterId in node.yaml')],
    })
    const shutOut = { ...refusedKeyring, code: 'CUSTODY_SHUT_OUT', message: 'see the runbook' }
    expect(judge({ ...status, refusedKeyring: shutOut })).toMatchObject({
      reasons: [
        expect.stringMatching(/shuts this node out, .* after the next rotation OpenBao would stay sealed here$/),
        'its keyring does not help here: CUSTODY_SHUT_OUT: see the runbook',
      ],
    })
  })

  it('does not call a seal fit that was never tried', () => {
    expect(judge({ ...status, seals: [{ ...seal, health: { state: 'untried' } }] }).kind).toBe('at-risk')
  })

  it('does not mind a disabled seal', () => {
    const disabled = { ...seal, name: 'spare', disabled: true, health: { state: 'untried' } } as const
    expect(judge({ ...status, seals: [seal, disabled] }).kind).toBe('ready')
  })

  it('does not expect people to have entered shares, but says when only they can open', () => {
    const people = { ...seal, name: 'people', type: 'shamir', health: { state: 'untried' } } as const
    expect(judge({ ...status, seals: [seal, people] }).kind).toBe('ready')
    expect(judge({ ...status, seals: [people] })).toEqual({
      kind: 'at-risk',
      reasons: ['no automatic seal is configured: after a restart people have to enter their shares'],
    })
  })

  it.each<[string, Partial<StatusView>, string]>([
    ['no seal has opened', { state: 'sealed' }, 'no seal has opened the keyring'],
    [
      'OpenBao is sealed',
      { openbao: { ...status.openbao, state: 'sealed' } as StatusView['openbao'] },
      'OpenBao is sealed',
    ],
    [
      'OpenBao was never initialised',
      { openbao: { ...status.openbao, state: 'uninitialised' } as StatusView['openbao'] },
      'OpenBao is not initialised',
    ],
    [
      'OpenBao does not answer',
      { openbao: { state: 'unreachable', address: 'a', code: 'OPENBAO_UNREACHABLE', message: 'refused' } },
      'OpenBao does not answer: refused',
    ],
    [
      'OpenBao fails and says nothing',
      { openbao: { state: 'unreachable', address: 'a', code: 'OPENBAO_FAILING', message: '' } },
      'OpenBao does not answer: it fails and does not say why (OPENBAO_FAILING); after a snapshot was restored',
    ],
  ])('is not ready when %s', (_what, change, reason) => {
    const verdict = judge({ ...status, ...change })
    expect(verdict).toMatchObject({ kind: 'not-ready', reasons: [expect.stringContaining(reason)] })
  })
})

describe('the health of a seal', () => {
  it('is told in the words of the control API', () => {
    const failure = { code: 'TPM_PIN_WRONG', message: 'wrong PIN', kind: 'operator' } as const
    expect(viewSealHealth({ kind: 'untried' })).toEqual({ state: 'untried' })
    expect(viewSealHealth({ kind: 'healthy', unwrappedAtMs: 0, tookMs: 3.14159 })).toEqual({
      state: 'healthy',
      unwrappedAt: '1970-01-01T00:00:00.000Z',
      tookMs: 3.1,
    })
    expect(viewSealHealth({ kind: 'failing', failure, sinceMs: 0, failuresInARow: 1 })).toEqual({
      state: 'failing',
      code: 'TPM_PIN_WRONG',
      message: 'wrong PIN',
      since: '1970-01-01T00:00:00.000Z',
      failuresInARow: 1,
      retrying: false,
    })
  })
})
