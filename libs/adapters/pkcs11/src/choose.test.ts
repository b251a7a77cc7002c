import { randomBytes } from 'node:crypto'
import { Secret } from '@sealwright/secret'
import {
  createSoftHsm,
  type SoftHsm,
  type SoftHsmToken,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { type Pkcs11Access } from './access.ts'
import { accessTo, errorOf, importableKey, newKek, secretOf } from './fixtures/access.ts'
import { destroyKeys, makeUnusableKey } from './fixtures/operator.ts'
import { serving } from './fixtures/programs.ts'
import { readPkcs11Identity } from './identity.ts'
import { pkcs11Module, type Pkcs11Module } from './module.ts'
import {
  generateAesKey,
  generateRsaKeyPair,
  initialiseToken,
  listPkcs11Keys,
  listPkcs11Tokens,
} from './provisioning.ts'
import { pkcs11SealMember } from './seal-member.ts'

const { signal } = new AbortController()

let folder: TemporaryFolder
let hsm: SoftHsm
let token: SoftHsmToken
let hsmModule: Pkcs11Module

beforeEach(async () => {
  folder = await temporaryFolder()
  hsm = await createSoftHsm({ directory: folder.path })
  token = await hsm.addToken('node-1')
  hsmModule = pkcs11Module({ modulePath: hsm.modulePath, spawn: serving(hsm.environment) })
})

afterEach(async () => {
  await hsmModule.close()
  await folder.remove()
})

function access(changes: Partial<Pkcs11Access> = {}): Pkcs11Access {
  return accessTo(hsmModule, token, changes)
}

async function makeKeys(...labels: readonly string[]): Promise<void> {
  for (const label of labels) await generateAesKey(access(), { label, randomBytes }, { signal })
}

describe('the token', () => {
  it('is told by its label or by its serial number', async () => {
    await makeKeys('aes')
    const { tokens } = await listPkcs11Tokens(hsmModule, { signal, timeoutMs: 20_000 })
    const serialNumber = tokens.find(({ label }) => label === 'node-1')?.serialNumber ?? ''
    const identity = await readPkcs11Identity(access({ token: { serialNumber } }), { signal })
    expect(identity.token).toMatchObject({ label: 'node-1', serialNumber })
  })

  it('that is not there is named, with those that are', async () => {
    expect(await errorOf(readPkcs11Identity(access({ token: { label: 'node-7' } }), { signal }))).toMatchObject({
      code: 'PKCS11_TOKEN_NOT_FOUND',
      kind: 'transient',
      message: expect.stringContaining('node-1') as string,
    })
  })

  it('that comes later is found without a restart of anything', async () => {
    const late = access({ token: { label: 'late' } })
    expect((await errorOf(listPkcs11Keys(late, { signal }))).code).toBe('PKCS11_TOKEN_NOT_FOUND')
    const added = await hsm.addToken('late')
    expect(await listPkcs11Keys(accessTo(hsmModule, added), { signal })).toEqual([])
  })

  it('of which there are two is not guessed at', async () => {
    await hsm.addToken('node-1')
    expect(await errorOf(readPkcs11Identity(access(), { signal }))).toMatchObject({
      code: 'PKCS11_TOKEN_AMBIGUOUS',
      kind: 'permanent',
      message: expect.stringMatching(/2 tokens .*serial number/) as string,
    })
  })
})

describe('the key', () => {
  it('that is not there is named', async () => {
    expect(await errorOf(readPkcs11Identity(access(), { signal }))).toMatchObject({
      code: 'PKCS11_KEY_NOT_FOUND',
      kind: 'permanent',
    })
    expect(
      (await errorOf(readPkcs11Identity(access({ key: { id: Uint8Array.of(1) } }), { signal }))).message,
    ).toContain('CKA_ID 01')
  })

  it('that was deleted is missed, even while the process goes on', async () => {
    await makeKeys('aes')
    const expected = await readPkcs11Identity(access(), { signal })
    const member = pkcs11SealMember({ ...access(), expected })
    const record = await member.sealKek(newKek(), { signal })
    destroyKeys({ ...hsm, token }, 'aes')
    expect(await errorOf(member.unsealKek(record, { signal, method: 'pkcs11-aes-gcm' }))).toMatchObject({
      code: 'PKCS11_KEY_NOT_FOUND',
    })
  })

  it('that was replaced by another one under its name is not taken for it', async () => {
    await makeKeys('aes')
    const expected = await readPkcs11Identity(access(), { signal })
    const member = pkcs11SealMember({ ...access(), expected })
    const record = await member.sealKek(newKek(), { signal })
    destroyKeys({ ...hsm, token }, 'aes')
    await makeKeys('aes')
    const options = { signal, method: 'pkcs11-aes-gcm' } as const
    expect((await errorOf(member.unsealKek(record, options))).code).toBe('PKCS11_OTHER_KEY')
    // With the same CKA_ID, too, only the ciphertext tells.
    destroyKeys({ ...hsm, token }, 'aes')
    await hsmModule.close()
    await hsm.importAesKey(token, { bytes: importableKey(), id: expected.keyId, label: 'aes' })
    expect((await errorOf(member.unsealKek(record, options))).code).toBe('PKCS11_CIPHERTEXT_REFUSED')
  })

  it('of which there are two is not guessed at, and can be told by its CKA_ID', async () => {
    const first = await generateAesKey(access(), { label: 'aes', randomBytes }, { signal })
    await hsmModule.close()
    await hsm.importAesKey(token, { bytes: importableKey(), id: randomBytes(16), label: 'aes' })
    expect(await errorOf(readPkcs11Identity(access(), { signal }))).toMatchObject({
      code: 'PKCS11_KEY_AMBIGUOUS',
      kind: 'permanent',
    })
    expect((await readPkcs11Identity(access({ key: { id: first.id } }), { signal })).keyId).toEqual(first.id)
  })

  it.each([
    ['an AES key of 128 bits', 'aes-128', 'aes-gcm', '128 bits'],
    ['an RSA key of 1,024 bits', 'rsa-1024', 'rsa-oaep', '1024 bits'],
    ['an RSA key for AES-GCM', 'rsa-1024', 'aes-gcm', 'is no AES key'],
    ['an AES key for RSA-OAEP', 'aes-128', 'rsa-oaep', 'is no RSA key'],
  ] as const)('must be good for the mechanism: %s is refused', async (_what, kind, mechanism, words) => {
    makeUnusableKey({ ...hsm, token }, 'weak', kind)
    expect(await errorOf(readPkcs11Identity(access({ key: { label: 'weak' }, mechanism }), { signal }))).toMatchObject({
      code: 'PKCS11_KEY_WRONG_TYPE',
      kind: 'permanent',
      message: expect.stringContaining(words) as string,
    })
  })

  it('may share its label with a key of the other kind', async () => {
    await makeKeys('both')
    await hsmModule.close()
    makeUnusableKey({ ...hsm, token }, 'both', 'rsa-1024')
    expect((await readPkcs11Identity(access({ key: { label: 'both' } }), { signal })).keyBits).toBe(256)
  })
})

describe('an operator', () => {
  it('sees the module and its tokens without logging in', async () => {
    const { module: facts, tokens } = await listPkcs11Tokens(hsmModule, { signal, timeoutMs: 20_000 })
    expect(facts).toMatchObject({ manufacturer: 'SoftHSM', version: expect.stringMatching(/^2\./) as string })
    expect(tokens).toContainEqual(
      expect.objectContaining({ label: 'node-1', isInitialised: true, hasAesGcm: true, hasRsaOaep: true }),
    )
    // SoftHSM always offers one more slot, for the next token.
    expect(tokens.filter(each => !each.isInitialised)).toHaveLength(1)
  })

  it('makes keys that never leave the token, and sees them', async () => {
    const aes = await generateAesKey(access(), { label: 'a', randomBytes }, { signal })
    const rsa = await generateRsaKeyPair(access(), { label: 'r', randomBytes, modulusBits: 3072 }, { signal })
    const safe = {
      isSensitive: true,
      isExtractable: false,
      wasAlwaysSensitive: true,
      wasNeverExtractable: true,
      isLocal: true,
    }
    expect(aes).toMatchObject({ kind: 'aes', bits: 256, label: 'a', ...safe })
    expect(rsa).toMatchObject({ kind: 'rsa', bits: 3072, label: 'r', ...safe })
    expect(aes.id).toHaveLength(16)
    const byLabel = (await listPkcs11Keys(access(), { signal })).toSorted((a, b) => a.label.localeCompare(b.label))
    expect(byLabel).toEqual([aes, rsa])
    for (const [key, mechanism] of [
      [aes, 'aes-gcm'],
      [rsa, 'rsa-oaep'],
    ] as const) {
      const { warnings } = await readPkcs11Identity(access({ key: { id: key.id }, mechanism }), { signal })
      expect(warnings.filter(warning => !warning.includes('quantum'))).toEqual([])
    }
  })

  it('sets a blank token up, once, and puts a key on it', async () => {
    const fresh = { label: 'node-2 ü', soPin: secretOf('87654321'), pin: secretOf('123456') }
    const limits = { signal, timeoutMs: 20_000 }
    const made = await initialiseToken(hsmModule, fresh, limits)
    expect(made).toMatchObject({ label: 'node-2 ü', isInitialised: true })
    const there = accessTo(hsmModule, { label: 'node-2 ü', pin: '123456' })
    await expect(generateAesKey(there, { label: 'aes', randomBytes }, { signal })).resolves.toMatchObject({ bits: 256 })
    const again = errorOf(initialiseToken(hsmModule, fresh, limits))
    expect(await again).toMatchObject({ code: 'PKCS11_TOKEN_AMBIGUOUS' })
    expect(await listPkcs11Keys(there, { signal })).toHaveLength(1)
  })

  it('cannot set up a token that is set up, nor with a label or a PIN that does not fit; then it stays blank', async () => {
    const limits = { signal, timeoutMs: 20_000 }
    const pins = { soPin: secretOf('87654321'), pin: secretOf('123456') }
    const { tokens } = await listPkcs11Tokens(hsmModule, limits)
    const serialNumber = tokens.find(({ label }) => label === 'node-1')?.serialNumber ?? ''
    const attempts = [
      [{ ...pins, label: 'other', serialNumber }, 'PKCS11_TOKEN_NOT_FOUND'],
      [{ ...pins, label: '' }, 'PKCS11_INVALID_ARGUMENT'],
      [{ ...pins, label: 'ü'.repeat(17) }, 'PKCS11_INVALID_ARGUMENT'],
      [{ ...pins, label: 'other', pin: secretOf('1') }, 'PKCS11_PIN_INVALID'],
      [{ ...pins, label: 'other', soPin: secretOf('1') }, 'PKCS11_PIN_INVALID'],
      [{ ...pins, label: 'other', pin: new Secret(new Uint8Array(8).fill(0xff)) }, 'PKCS11_PIN_INVALID'],
    ] as const
    for (const [newToken, code] of attempts) {
      expect((await errorOf(initialiseToken(hsmModule, newToken, limits))).code).toBe(code)
    }
    expect((await listPkcs11Tokens(hsmModule, limits)).tokens).toEqual(tokens)
  })

  it('does not make a second key of one name, nor one of no use', async () => {
    await makeKeys('aes')
    expect((await errorOf(makeKeys('aes'))).code).toBe('PKCS11_KEY_AMBIGUOUS')
    expect((await errorOf(makeKeys(''))).code).toBe('PKCS11_INVALID_ARGUMENT')
    const short = { label: 'short', randomBytes, modulusBits: 1024 as 2048 }
    expect((await errorOf(generateRsaKeyPair(access(), short, { signal }))).code).toBe('PKCS11_INVALID_ARGUMENT')
  })
})
