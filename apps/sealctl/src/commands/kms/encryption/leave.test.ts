import { parseKmsConfig } from '@sealwright/kms-config'
import { renderEncryptionConfig, ROUNDS_REMARK } from '../files/encryption-config.ts'
import { EXAMPLE_CONFIG } from '../files/example-config.ts'
import { listOf, refused } from '../testing/encryption-file.ts'
import { parseEncryptionFile } from './file.ts'
import { leaveEncryptionFile, type LeavingStep } from './leave.ts'

const ENDPOINT = 'unix:///run/sealwright/kms/kms.sock'
const KMS = { kms: { apiVersion: 'v2', name: 'sealwright', endpoint: ENDPOINT } }
const AESGCM = { aesgcm: { keys: [{ name: 'g', secret: 'c2VjcmV0IG9mIHRoZSBvbGQgYWVzY2JjIGtleSAxMjM=' }] } }
const IDENTITY = { identity: {} }

interface Entry {
  readonly resources: readonly string[]
  readonly providers: readonly object[]
}

const fileOf = (...resources: readonly Entry[]): string =>
  JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration', resources })
const entry = (resources: readonly string[], ...providers: readonly object[]): Entry => ({ resources, providers })

function left(text: string, step: LeavingStep): string {
  return leaveEncryptionFile(parseEncryptionFile(text, 'c'), { step, endpoint: ENDPOINT }, 'c').text
}

describe('the way out of an EncryptionConfiguration', () => {
  it('leads back to identity step by step', () => {
    const prepared = left(fileOf(entry(['secrets'], KMS)), 'prepare')
    expect(listOf(prepared)).toEqual([entry(['secrets'], KMS, IDENTITY)])
    const decrypting = left(prepared, 'decrypt')
    expect(listOf(decrypting)).toEqual([entry(['secrets'], IDENTITY, KMS)])
    expect(listOf(left(decrypting, 'remove'))).toEqual([entry(['secrets'], IDENTITY)])
  })

  it('leaves no word of the rounds of a plugin that is gone', () => {
    const config = parseKmsConfig(EXAMPLE_CONFIG, 'c')
    const first = renderEncryptionConfig(config, { name: 'sealwright', resources: [], stage: 'first' })
    const decrypting = left(first, 'decrypt')
    expect(decrypting).toContain(ROUNDS_REMARK)
    const gone = left(decrypting, 'remove')
    expect(gone).not.toMatch(/as the last provider/)
    expect(gone).toMatch(
      /^# For the API servers .*\n# {3}--encryption-provider-config=.*\n# With the second .*\napiVersion/,
    )
    const own = left(first.replace(ROUNDS_REMARK, '# ours since 2021'), 'decrypt')
    expect(left(own, 'remove')).toContain('# ours since 2021')
  })

  it('takes the plugin out by every name that it has in an entry', () => {
    const second = { kms: { ...KMS.kms, name: 'sealwright-2' } }
    const decrypting = left(fileOf(entry(['secrets'], KMS, second, IDENTITY)), 'decrypt')
    expect(listOf(decrypting)).toEqual([entry(['secrets'], IDENTITY, KMS, second)])
    expect(listOf(left(decrypting, 'remove'))).toEqual([entry(['secrets'], IDENTITY)])
  })

  it('is refused where the order of the entries would give a resource from one other provider to the next', () => {
    const second = { kms: { ...KMS.kms, name: 'sealwright-2' } }
    const text = fileOf(
      entry(['pods'], KMS, IDENTITY),
      entry(['secrets'], AESGCM, second),
      entry(['secrets'], IDENTITY),
    )
    expect(() => left(text, 'decrypt')).toThrow(
      refused(/order of its entries.*secrets would be written by another provider than now/),
    )
    expect(() => left(text, 'decrypt')).not.toThrow(new RegExp(AESGCM.aesgcm.keys[0]?.secret ?? 'key'))
  })

  it('leads to the provider that is there, and touches no other entry', () => {
    const text = fileOf(entry(['pods'], AESGCM, IDENTITY), entry(['secrets'], KMS, AESGCM))
    expect(() => left(text, 'prepare')).toThrow(refused(/go on with --leave decrypt/))
    const decrypting = left(text, 'decrypt')
    expect(listOf(decrypting)).toEqual([entry(['pods'], AESGCM, IDENTITY), entry(['secrets'], AESGCM, KMS)])
    expect(listOf(left(decrypting, 'remove'))).toEqual([entry(['pods'], AESGCM, IDENTITY), entry(['secrets'], AESGCM)])
  })

  it('leads out of a resource that stands in two entries, also if it has just come', () => {
    const halfway = fileOf(entry(['secrets', 'pods'], KMS), entry(['pods'], AESGCM))
    const decrypting = left(left(halfway, 'prepare'), 'decrypt')
    expect(listOf(decrypting)).toEqual([entry(['pods'], AESGCM), entry(['secrets', 'pods'], IDENTITY, KMS)])
    const onlyRead = fileOf(entry(['pods'], IDENTITY), entry(['pods'], KMS))
    expect(listOf(left(onlyRead, 'remove'))).toEqual([entry(['pods'], IDENTITY)])
  })

  it('takes one plugin out, and not the one that has come in its place', () => {
    const second = { kms: { apiVersion: 'v2', name: 'second', endpoint: 'unix:///run/sealwright/kms-2/kms.sock' } }
    const text = fileOf(entry(['secrets'], second, KMS, IDENTITY))
    expect(listOf(left(text, 'remove'))).toEqual([entry(['secrets'], second, IDENTITY)])
  })

  it.each<[string, string, LeavingStep, RegExp]>([
    ['without the plugin', fileOf(entry(['secrets'], AESGCM)), 'remove', /in none of its entries/],
    ['before identity is everywhere', fileOf(entry(['secrets'], KMS)), 'decrypt', /first --leave prepare/],
    [
      'what it encrypts still',
      fileOf(entry(['secrets'], KMS, IDENTITY)),
      'remove',
      /encrypts secrets: first --leave d/,
    ],
    ['decrypt twice', fileOf(entry(['secrets'], IDENTITY, KMS)), 'decrypt', /go on with --leave remove/],
  ])('is refused: %s', (_what, text, step, message) => {
    expect(() => left(text, step)).toThrow(refused(message))
  })
})
