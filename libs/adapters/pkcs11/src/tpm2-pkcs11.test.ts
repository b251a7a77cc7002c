import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type Pkcs11Access } from './access.ts'
import { accessTo, errorOf, newKek, secretOf } from './fixtures/access.ts'
import { serving } from './fixtures/programs.ts'
import { createTpm2Token, type Tpm2Token } from './fixtures/tpm2-token.ts'
import { readPkcs11Identity } from './identity.ts'
import { pkcs11Module, type Pkcs11Module } from './module.ts'
import { pkcs11RemoteMember, pkcs11SealMember } from './seal-member.ts'
import { decodeSealedKek } from './sealed-kek.ts'

const { signal } = new AbortController()

let folder: TemporaryFolder
let swtpm: Swtpm
let token: Tpm2Token
let tpmModule: Pkcs11Module

beforeAll(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  token = await createTpm2Token({ directory: folder.path, tpmSocketPath: swtpm.socketPath })
  tpmModule = pkcs11Module({ modulePath: token.modulePath, spawn: serving(token.environment) })
})

afterEach(async () => {
  await tpmModule.close()
  token.flush()
})

afterAll(async () => {
  await swtpm.stop()
  await folder.remove()
})

function access(changes: Partial<Pkcs11Access> = {}): Pkcs11Access {
  return accessTo(tpmModule, token, { key: { label: token.keyLabel }, mechanism: 'rsa-oaep', ...changes })
}

describe('a TPM behind tpm2-pkcs11', () => {
  it('seals and opens by RSA-OAEP with SHA-256', async () => {
    const identity = await readPkcs11Identity(access(), { signal })
    expect(identity).toMatchObject({ oaepHash: 'sha256', keyBits: 2048, token: { label: token.label } })
    const member = pkcs11SealMember({ ...access(), expected: identity })
    const kek = newKek()
    const record = await member.sealKek(kek, { signal })
    expect(decodeSealedKek(record)).toMatchObject({ oaepHash: 'sha256' })
    expect((await member.unsealKek(record, { signal, method: member.method })).equals(kek)).toBe(true)
  })

  it('opens with each hash that it has what another node sealed by the public key', async () => {
    const identity = await readPkcs11Identity(access(), { signal })
    if (identity.method !== 'pkcs11-rsa-oaep' || identity.spki === undefined) throw new Error('no public key')
    const member = pkcs11SealMember({ ...access(), expected: identity })
    for (const oaepHash of ['sha1', 'sha256', 'sha384', 'sha512'] as const) {
      const kek = newKek()
      const remote = pkcs11RemoteMember({ spki: identity.spki, memberId: identity.memberId, oaepHash })
      const record = await remote.sealKek(kek, { signal })
      expect((await member.unsealKek(record, { signal, method: member.method })).equals(kek)).toBe(true)
    }
  })

  it('tells a changed record from a broken token, and opens the next one', async () => {
    const identity = await readPkcs11Identity(access(), { signal })
    const member = pkcs11SealMember({ ...access(), expected: identity })
    const record = await member.sealKek(newKek(), { signal })
    const changed = Uint8Array.from(record, (byte, index) => (index === record.byteLength - 1 ? byte ^ 1 : byte))
    expect(await errorOf(member.unsealKek(changed, { signal, method: member.method }))).toMatchObject({
      code: 'PKCS11_CIPHERTEXT_REFUSED',
    })
    ;(await member.unsealKek(record, { signal, method: member.method })).wipe()
  })

  it('has no AES-GCM', async () => {
    const error = await errorOf(readPkcs11Identity(access({ mechanism: 'aes-gcm' }), { signal }))
    expect(error.code).toBe('PKCS11_KEY_WRONG_TYPE')
  })

  it('is sent a wrong PIN once: it counts in the TPM itself', async () => {
    const pin = secretOf('wrong-1234')
    expect((await errorOf(readPkcs11Identity(access({ pin }), { signal }))).code).toBe('PKCS11_PIN_WRONG')
    expect((await errorOf(readPkcs11Identity(access({ pin }), { signal }))).message).toContain('not sent again')
  })

  it('is away with its TPM, and opens when that is back', async () => {
    const identity = await readPkcs11Identity(access(), { signal })
    const member = pkcs11SealMember({ ...access(), expected: identity })
    const record = await member.sealKek(newKek(), { signal })
    await tpmModule.close()
    await swtpm.stop()
    expect(await errorOf(member.unsealKek(record, { signal, method: member.method }))).toMatchObject({
      code: 'PKCS11_MODULE_NOT_READY',
      kind: 'transient',
    })
    await swtpm.start()
    ;(await member.unsealKek(record, { signal, method: member.method })).wipe()
  })
})
