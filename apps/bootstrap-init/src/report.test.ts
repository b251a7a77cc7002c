import { createKeyring } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { randomBytes } from 'node:crypto'
import { type RunReport, toJson, toText } from './report.ts'
import { fakeSeal } from './testing/fake-seal.ts'

const memberId = Uint8Array.of(1)

async function sampleReport(): Promise<RunReport> {
  const { signal } = new AbortController()
  const keyring = await fakeSeal().withLocalMember({ knownIn: undefined, signal }, member =>
    createKeyring({
      sealName: 'tpm',
      member,
      method: 'tpm-sealed',
      label: 'node-1',
      sealKey: new Secret(new Uint8Array(32).fill(7)),
      keyId: 'bootstrap-1',
      now: Date.now,
      randomBytes,
      signal,
    }),
  )
  return {
    storePath: '/var/lib/sealwright/seal',
    bootstrap: {
      result: 'unchanged',
      keyring,
      devices: new Map([
        ['tpm', [{ storageKeyName: '000b01', isPresent: true }]],
        [
          'late',
          [
            { storageKeyName: '000b02', isPresent: false },
            { storageKeyName: '000b01', isPresent: false },
          ],
        ],
      ]),
      seals: [
        { name: 'tpm', state: 'opens', memberId },
        { name: 'late', state: 'fails', failure: { code: 'TPM_UNREACHABLE', message: 'not there', kind: 'transient' } },
        { name: 'pin', state: 'not-tried' },
      ],
    },
    hasSealKey: true,
    connector: { outcome: 'placed', path: '/plugins/sealwright-connector', sha256: 'ab' },
    warnings: ['others may read the plain seal key in /run/secrets/bootstrap/seal-key (mode 0644)'],
  }
}

/** The same run with all seals open and nothing to complain about. */
async function goodReport(): Promise<RunReport> {
  const report = await sampleReport()
  return {
    ...report,
    bootstrap: { ...report.bootstrap, seals: [{ name: 'tpm', state: 'opens', memberId }] },
    warnings: [],
  }
}

describe('the report of a run', () => {
  it('is one line of JSON for scripts', async () => {
    const json = toJson(await sampleReport())
    expect(json.endsWith('\n')).toBe(true)
    expect(JSON.parse(json)).toEqual({
      result: 'unchanged',
      proven: false,
      store: '/var/lib/sealwright/seal',
      clusterId: expect.stringMatching(/^[0-9a-f]{32}$/) as unknown,
      generation: 1,
      keyId: 'bootstrap-1',
      seals: [
        { name: 'tpm', state: 'opens', storageKeyNames: ['000b01'] },
        {
          name: 'late',
          state: 'fails',
          code: 'TPM_UNREACHABLE',
          message: 'not there',
          storageKeyNames: ['000b02', '000b01'],
        },
        { name: 'pin', state: 'not-tried', storageKeyNames: [] },
      ],
      connector: { outcome: 'placed', path: '/plugins/sealwright-connector', sha256: 'ab' },
      warnings: ['others may read the plain seal key in /run/secrets/bootstrap/seal-key (mode 0644)'],
    })
    expect(JSON.parse(toJson(await goodReport()))).toMatchObject({ proven: true, warnings: [] })
  })

  it('is a few lines for people, and begins with what is not proven', async () => {
    expect(toText(await sampleReport()).split('\n')).toEqual([
      'NOT PROVEN to open: seal late (TPM_UNREACHABLE), seal pin (not tried); keep the seal key: do not destroy it yet',
      'warning: others may read the plain seal key in /run/secrets/bootstrap/seal-key (mode 0644)',
      '/var/lib/sealwright/seal: nothing was changed',
      'seal tpm: opens, proven just now',
      'seal tpm: storageKeyName: "000b01"',
      'seal late: NOT PROVEN: TPM_UNREACHABLE: not there',
      'seal late: storageKeyName: "000b02"',
      'seal late: storageKeyName: "000b01"',
      'seal pin: NOT PROVEN: not tried, since it has a PIN; the agent will',
      '/plugins/sealwright-connector: placed, sha256sum = "ab"',
      '',
    ])
  })

  it('says that all is well only if each seal was proven to open', async () => {
    expect(
      toText(await goodReport())
        .split('\n')
        .slice(0, 2),
    ).toEqual([
      '/var/lib/sealwright/seal: the seal store holds all it should; nothing was changed',
      'seal tpm: opens, proven just now',
    ])
  })

  it('speaks of keeping the seal key only where one was handed over', async () => {
    const [first] = toText({ ...(await sampleReport()), hasSealKey: false }).split('\n')
    expect(first).toBe('NOT PROVEN to open: seal late (TPM_UNREACHABLE), seal pin (not tried)')
  })

  it('marks this TPM among several, and says how an agent that waits learns of it', async () => {
    const report = await goodReport()
    const both = [
      { storageKeyName: '000b02', isPresent: true },
      { storageKeyName: '000b01', isPresent: false },
    ]
    const devices = new Map([['tpm', both]])
    const extended = { ...report, bootstrap: { ...report.bootstrap, result: 'extended', devices } } as const
    expect(toText(extended).split('\n').slice(0, 5)).toEqual([
      '/var/lib/sealwright/seal: enrolled this TPM, beside the ways in that were there',
      'seal tpm: opens, proven just now',
      'seal tpm: storageKeyName: "000b02" (this TPM)',
      'seal tpm: storageKeyName: "000b01"',
      'if an agent of this node waits: kill -HUP it, and it tries again at once',
    ])
    expect(toText({ ...extended, bootstrap: { ...extended.bootstrap, result: 'renewed' } })).toContain('kill -HUP')
    expect(toText({ ...extended, bootstrap: { ...extended.bootstrap, result: 'created' } })).not.toContain('kill -HUP')
  })

  it('says which connector is there and which one is not, and how to take it', async () => {
    const kept = { outcome: 'kept', path: '/plugins/sealwright-connector', sha256: 'ab', carriedSha256: 'cd' } as const
    const report = { ...(await goodReport()), connector: kept }
    expect(toText(report)).toContain(
      '/plugins/sealwright-connector: kept, sha256sum = "ab"\n' +
        '/plugins/sealwright-connector: this version carries another one, sha256sum = "cd": to take it, put that sum into ' +
        "OpenBao's configuration, run this again with --replace-connector, and restart OpenBao\n",
    )
    expect(JSON.parse(toJson(report))).toMatchObject({ connector: kept })
  })
})
