import { createKeyring } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { randomBytes } from 'node:crypto'
import { type RunReport, toJson, toText } from './report.ts'
import { fakeSeal } from './testing/fake-seal.ts'

async function sampleReport(): Promise<RunReport> {
  const { signal } = new AbortController()
  const keyring = await fakeSeal().withLocalMember(signal, member =>
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
        ['tpm', ['000b01']],
        ['late', ['000b02', '000b01']],
      ]),
      seals: [
        { name: 'tpm', state: 'opens' },
        { name: 'late', state: 'fails', failure: { code: 'TPM_UNREACHABLE', message: 'not there', kind: 'transient' } },
        { name: 'pin', state: 'not-tried' },
      ],
    },
    connector: { outcome: 'placed', path: '/plugins/sealwright-connector', sha256: 'ab' },
  }
}

describe('the report of a run', () => {
  it('is one line of JSON for scripts', async () => {
    const json = toJson(await sampleReport())
    expect(json.endsWith('\n')).toBe(true)
    expect(JSON.parse(json)).toEqual({
      result: 'unchanged',
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
    })
  })

  it('is a few lines for people', async () => {
    expect(toText(await sampleReport()).split('\n')).toEqual([
      '/var/lib/sealwright/seal: the seal store holds all it should; nothing was changed',
      'seal tpm: opens, proven just now',
      'seal tpm: storageKeyName: "000b01"',
      'seal late: NOT PROVEN: TPM_UNREACHABLE: not there',
      'seal late: storageKeyName: "000b02"',
      'seal late: storageKeyName: "000b01"',
      'seal pin: not tried, since it has a PIN; the agent will',
      '/plugins/sealwright-connector: placed, sha256sum = "ab"',
      '',
    ])
  })
})
