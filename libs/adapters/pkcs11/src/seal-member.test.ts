import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import {
  createSoftHsm,
  type SoftHsm,
  type SoftHsmToken,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { type Pkcs11Access } from './access.ts'
import { accessTo, errorOf, flipBit, importableKey, newKek, secretOf } from './fixtures/access.ts'
import { serving } from './fixtures/programs.ts'
import { readPkcs11Identity } from './identity.ts'
import { pkcs11Module, type Pkcs11Module } from './module.ts'
import { generateAesKey, generateRsaKeyPair } from './provisioning.ts'
import { expectedKeyOf, pkcs11RemoteMember, pkcs11SealMember } from './seal-member.ts'
import { decodeSealedKek, encodeSealedKek } from './sealed-kek.ts'

const { signal } = new AbortController()

let folder: TemporaryFolder
let hsm: SoftHsm
let token: SoftHsmToken
let hsmModule: Pkcs11Module

beforeAll(async () => {
  folder = await temporaryFolder()
  hsm = await createSoftHsm({ directory: folder.path })
  token = await hsm.addToken('node-1')
  hsmModule = pkcs11Module({ modulePath: hsm.modulePath, spawn: serving(hsm.environment) })
  for (const label of ['aes', 'other-aes']) await generateAesKey(aes(), { label, randomBytes }, { signal })
  await generateRsaKeyPair(rsa(), { label: 'rsa', randomBytes, modulusBits: 2048 }, { signal })
})

afterAll(async () => {
  await hsmModule.close()
  await folder.remove()
})

const aes = (changes: Partial<Pkcs11Access> = {}): Pkcs11Access => accessTo(hsmModule, token, changes)
const rsa = (changes: Partial<Pkcs11Access> = {}): Pkcs11Access =>
  accessTo(hsmModule, token, { key: { label: 'rsa' }, mechanism: 'rsa-oaep', ...changes })

/** A module that cannot be asked anything: whoever does is found out. */
function noModule(): Pkcs11Module {
  return pkcs11Module({ modulePath: '/nonexistent.so', spawn: serving({}) })
}

describe('a key on a token as a seal member', () => {
  it.each([
    ['aes-gcm', aes],
    ['rsa-oaep', rsa],
  ] as const)('seals and opens by %s', async (mechanism, makeAccess) => {
    const kek = newKek()
    const expected = await readPkcs11Identity(makeAccess(), { signal })
    const member = pkcs11SealMember({ ...makeAccess(), expected })
    expect(member).toMatchObject({ sealType: 'pkcs11', method: `pkcs11-${mechanism}`, memberId: expected.memberId })
    const record = await member.sealKek(kek, { signal })
    expect((await member.unsealKek(record, { signal, method: member.method })).equals(kek)).toBe(true)
  })

  it('is known from a record, without asking anybody', async () => {
    for (const makeAccess of [aes, rsa]) {
      const kek = newKek()
      const expected = await readPkcs11Identity(makeAccess(), { signal })
      const record = await pkcs11SealMember({ ...makeAccess(), expected }).sealKek(kek, { signal })
      const member = pkcs11SealMember({ ...makeAccess(), expected: expectedKeyOf(record) })
      expect(member.memberId).toEqual(expected.memberId)
      expect((await member.unsealKek(record, { signal, method: member.method })).equals(kek)).toBe(true)
      // With no public key in the record, it is read from the token.
      const again = await member.sealKek(kek, { signal })
      expect((await member.unsealKek(again, { signal, method: member.method })).equals(kek)).toBe(true)
    }
  })

  it('never makes the same record twice', async () => {
    for (const makeAccess of [aes, rsa]) {
      const member = pkcs11SealMember({
        ...makeAccess(),
        expected: await readPkcs11Identity(makeAccess(), { signal }),
      })
      const kek = newKek()
      expect(await member.sealKek(kek, { signal })).not.toEqual(await member.sealKek(kek, { signal }))
    }
  })

  it('seals by RSA without the token, and for another node without its module', async () => {
    const kek = newKek()
    const identity = await readPkcs11Identity(rsa(), { signal })
    if (identity.method !== 'pkcs11-rsa-oaep' || identity.spki === undefined) throw new Error('no public key')
    const away = pkcs11SealMember({ ...rsa({ module: noModule() }), expected: identity })
    const remote = pkcs11RemoteMember({
      spki: identity.spki,
      memberId: identity.memberId,
      oaepHash: identity.oaepHash,
    })
    expect(remote).toMatchObject({ sealType: 'pkcs11', method: 'pkcs11-rsa-oaep', memberId: identity.memberId })
    const member = pkcs11SealMember({ ...rsa(), expected: identity })
    for (const sealer of [away, remote]) {
      const record = await sealer.sealKek(kek, { signal })
      expect((await member.unsealKek(record, { signal, method: 'pkcs11-rsa-oaep' })).equals(kek)).toBe(true)
    }
  })

  it('opens any number of records at the same time', async () => {
    const member = pkcs11SealMember({ ...aes(), expected: await readPkcs11Identity(aes(), { signal }) })
    const keks = Array.from({ length: 8 }, newKek)
    const records = await Promise.all(keks.map(kek => member.sealKek(kek, { signal })))
    const opened = await Promise.all(
      records.map(record => member.unsealKek(record, { signal, method: 'pkcs11-aes-gcm' })),
    )
    expect(opened.map((kek, index) => kek.equals(keks[index] ?? newKek()))).toEqual(keks.map(() => true))
  })

  it('is used as it was enrolled, and not otherwise', async () => {
    const expected = await readPkcs11Identity(aes(), { signal })
    expect(() => pkcs11SealMember({ ...rsa(), expected })).toThrow(
      expect.objectContaining({ code: 'PKCS11_INVALID_ARGUMENT' }) as Error,
    )
  })

  it('seals keys of 32 bytes and no others', async () => {
    const expected = await readPkcs11Identity(aes(), { signal })
    const error = await errorOf(pkcs11SealMember({ ...aes(), expected }).sealKek(secretOf('short'), { signal }))
    expect(error.code).toBe('PKCS11_INVALID_ARGUMENT')
  })

  it('stops when the caller does', async () => {
    for (const makeAccess of [aes, rsa]) {
      const expected = await readPkcs11Identity(makeAccess(), { signal })
      const member = pkcs11SealMember({ ...makeAccess(), expected })
      const record = await member.sealKek(newKek(), { signal })
      const cancelled = { signal: AbortSignal.abort(), method: member.method }
      expect(await errorOf(member.unsealKek(record, cancelled))).toMatchObject({ code: 'PKCS11_CANCELLED' })
    }
  })

  it('shows its PIN and its keys nowhere', async () => {
    const options = { ...aes({ pin: secretOf('open sesame') }), expected: await readPkcs11Identity(aes(), { signal }) }
    const member = pkcs11SealMember(options)
    expect(inspect(options, { depth: 10 }) + inspect(member, { depth: 10 }) + JSON.stringify(options)).not.toContain(
      'sesame',
    )
  })
})

describe('a record', () => {
  it('of another key is refused without asking the token', async () => {
    const mine = await readPkcs11Identity(aes(), { signal })
    const otherAccess = aes({ key: { label: 'other-aes' } })
    const other = await readPkcs11Identity(otherAccess, { signal })
    const record = await pkcs11SealMember({ ...otherAccess, expected: other }).sealKek(newKek(), { signal })
    const member = pkcs11SealMember({ ...aes({ module: noModule() }), expected: mine })
    expect(await errorOf(member.unsealKek(record, { signal, method: 'pkcs11-aes-gcm' }))).toMatchObject({
      code: 'PKCS11_OTHER_KEY',
      kind: 'permanent',
    })
  })

  it('is not opened by another key that the configuration names', async () => {
    const expected = await readPkcs11Identity(aes(), { signal })
    const record = await pkcs11SealMember({ ...aes(), expected }).sealKek(newKek(), { signal })
    const misconfigured = pkcs11SealMember({ ...aes({ key: { label: 'other-aes' } }), expected })
    expect(await errorOf(misconfigured.unsealKek(record, { signal, method: 'pkcs11-aes-gcm' }))).toMatchObject({
      code: 'PKCS11_OTHER_KEY',
    })
    expect((await errorOf(misconfigured.sealKek(newKek(), { signal }))).code).toBe('PKCS11_OTHER_KEY')
  })

  it('must say how it was made', async () => {
    const expected = await readPkcs11Identity(aes(), { signal })
    const record = await pkcs11SealMember({ ...aes(), expected }).sealKek(newKek(), { signal })
    const member = pkcs11SealMember({ ...aes({ module: noModule() }), expected })
    for (const method of ['pkcs11-rsa-oaep', 'tpm-sealed', 'transit'] as const) {
      expect(await errorOf(member.unsealKek(record, { signal, method }))).toMatchObject({
        code: 'PKCS11_METHOD_MISMATCH',
        kind: 'permanent',
      })
    }
  })

  it('that holds something else than a key is refused', async () => {
    const identity = await readPkcs11Identity(rsa(), { signal })
    if (identity.method !== 'pkcs11-rsa-oaep' || identity.spki === undefined) throw new Error('no public key')
    const { constants, publicEncrypt, createPublicKey } = await import('node:crypto')
    const key = createPublicKey({ key: Buffer.from(identity.spki), format: 'der', type: 'spki' })
    const ciphertext = publicEncrypt(
      { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: identity.oaepHash },
      Buffer.alloc(31, 1),
    )
    const record = encodeSealedKek({ ...identity, ciphertext })
    const member = pkcs11SealMember({ ...rsa(), expected: identity })
    expect(await errorOf(member.unsealKek(record, { signal, method: 'pkcs11-rsa-oaep' }))).toMatchObject({
      code: 'PKCS11_CIPHERTEXT_REFUSED',
    })
  })
})

/** magic (4) ‖ version (1) ‖ method (1) ‖ hash (1) ‖ key reference (32) */
const HEADER_BYTES = 39

describe('every flipped bit', () => {
  it('of a record made by AES-GCM is refused, whoever notices', async () => {
    const expected = await readPkcs11Identity(aes(), { signal })
    const member = pkcs11SealMember({ ...aes(), expected })
    const record = await member.sealKek(newKek(), { signal })
    for (let bit = 0; bit < record.byteLength * 8; bit += 1) {
      const { code } = await errorOf(member.unsealKek(flipBit(record, bit), { signal, method: 'pkcs11-aes-gcm' }))
      expect({ bit, code }).toEqual({ bit, code: codeOfFlip(bit, record.byteLength) })
    }
  })

  it('of the header of a record made by RSA-OAEP is refused, and each third one of its ciphertext', async () => {
    const expected = await readPkcs11Identity(rsa(), { signal })
    const member = pkcs11SealMember({ ...rsa(), expected })
    const record = await member.sealKek(newKek(), { signal })
    for (let bit = 0; bit < record.byteLength * 8; bit += bit < HEADER_BYTES * 8 ? 1 : 3) {
      const { code } = await errorOf(member.unsealKek(flipBit(record, bit), { signal, method: 'pkcs11-rsa-oaep' }))
      const isLength = bit >= HEADER_BYTES * 8 && bit < (HEADER_BYTES + 2) * 8
      // SHA-1 (1) is one bit away from SHA-384 (3), which SoftHSM does not have.
      const isOtherHash = bit === 6 * 8 + 6
      const wanted = isOtherHash ? 'PKCS11_MECHANISM_UNSUPPORTED' : codeOfFlip(bit, record.byteLength)
      expect({ bit, code }).toEqual({ bit, code: isLength ? 'PKCS11_BLOB_MALFORMED' : wanted })
    }
  })

  function codeOfFlip(bit: number, recordBytes: number): string {
    if (bit < 7 * 8) return 'PKCS11_BLOB_MALFORMED'
    if (bit < HEADER_BYTES * 8) return 'PKCS11_OTHER_KEY'
    return bit < recordBytes * 8 ? 'PKCS11_CIPHERTEXT_REFUSED' : 'nothing'
  }
})

describe('the member id', () => {
  it('of an RSA key is made from its public key alone', async () => {
    const identity = await readPkcs11Identity(rsa(), { signal })
    if (identity.method !== 'pkcs11-rsa-oaep' || identity.spki === undefined) throw new Error('no public key')
    const field = (bytes: Uint8Array) => Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes])
    const digest = createHash('sha256')
      .update(field(Buffer.from('sealwright pkcs11 rsa key v1')))
      .update(field(identity.spki))
      .digest()
    expect(identity.keyReference).toEqual(new Uint8Array(digest))
    expect(identity.memberId).toEqual(new Uint8Array(digest.subarray(0, 16)))
  })

  it('of an AES key with a long CKA_ID is the same on every token that holds it, and either opens what the other sealed', async () => {
    const twin = await hsm.addToken('node-2')
    const copy = { bytes: importableKey(), id: randomBytes(16), label: 'copied' }
    await hsm.importAesKey(token, copy)
    await hsm.importAesKey(twin, copy)
    await hsmModule.close()
    const here = aes({ key: { id: copy.id } })
    const there = accessTo(hsmModule, twin, { key: { id: copy.id } })
    const identity = await readPkcs11Identity(here, { signal })
    expect((await readPkcs11Identity(there, { signal })).memberId).toEqual(identity.memberId)
    const kek = newKek()
    const record = await pkcs11SealMember({ ...here, expected: identity }).sealKek(kek, { signal })
    const member = pkcs11SealMember({ ...there, expected: expectedKeyOf(record) })
    expect((await member.unsealKek(record, { signal, method: 'pkcs11-aes-gcm' })).equals(kek)).toBe(true)
  })

  it('of an AES key with a short CKA_ID is another one on another token', async () => {
    const twin = await hsm.addToken('node-3')
    const copy = { bytes: importableKey(), id: Uint8Array.of(7), label: 'counted' }
    await hsm.importAesKey(token, copy)
    await hsm.importAesKey(twin, copy)
    await hsmModule.close()
    const here = await readPkcs11Identity(aes({ key: { id: copy.id } }), { signal })
    const there = await readPkcs11Identity(accessTo(hsmModule, twin, { key: { id: copy.id } }), { signal })
    expect(here.memberId).not.toEqual(there.memberId)
  })

  it('must fit the public key that a remote node is given', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
    const make = (key: Uint8Array) => () =>
      pkcs11RemoteMember({ spki: key, memberId: new Uint8Array(16), oaepHash: 'sha256' })
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    for (const key of [
      spki,
      short.export({ type: 'spki', format: 'der' }),
      ec.export({ type: 'spki', format: 'der' }),
      randomBytes(40),
    ]) {
      expect(make(key)).toThrow(expect.objectContaining({ code: 'PKCS11_INVALID_ARGUMENT' }) as Error)
    }
  })
})

describe('what is read of a key', () => {
  it('says who it is, and what is wrong with it', async () => {
    const identity = await readPkcs11Identity(aes(), { signal })
    expect(identity).toMatchObject({
      keyBits: 256,
      keyLabel: 'aes',
      token: { label: 'node-1', manufacturer: 'SoftHSM project', model: 'SoftHSM v2' },
      moduleDescription: expect.stringContaining('SoftHSM') as string,
      warnings: [],
    })
    expect(identity.keyId).toHaveLength(16)
    expect((await readPkcs11Identity(rsa(), { signal })).warnings).toEqual([
      expect.stringContaining('quantum computers') as string,
    ])
  })

  it('warns of a key that was put on the token', async () => {
    await hsm.importAesKey(token, { bytes: importableKey(), id: randomBytes(16), label: 'imported' })
    await hsmModule.close()
    const { warnings } = await readPkcs11Identity(aes({ key: { label: 'imported' } }), { signal })
    expect(warnings).toContainEqual(expect.stringContaining('not made on the token') as string)
  })

  it('finds the hash that the token has: SoftHSM has none but SHA-1', async () => {
    expect(await readPkcs11Identity(rsa(), { signal })).toMatchObject({ oaepHash: 'sha1' })
    const record = await pkcs11SealMember({
      ...rsa(),
      expected: await readPkcs11Identity(rsa(), { signal }),
    }).sealKek(newKek(), { signal })
    expect(decodeSealedKek(record)).toMatchObject({ oaepHash: 'sha1' })
  })

  it('tells that the token does not have the hash that is configured', async () => {
    expect(await errorOf(readPkcs11Identity(rsa({ oaepHash: 'sha256' }), { signal }))).toMatchObject({
      code: 'PKCS11_MECHANISM_UNSUPPORTED',
      kind: 'permanent',
    })
  })
})
