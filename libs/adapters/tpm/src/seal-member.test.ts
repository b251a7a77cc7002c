import { createHash, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'

import { ID_BYTES } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { type TpmAccess } from './operation.ts'
import { sealKekForRemote } from './seal.ts'
import { expectedTpmOf, tpmMemberId, tpmSealMember } from './seal-member.ts'
import { readTpmIdentity, readTpmStatus } from './status.ts'

const { signal } = new AbortController()

let folder: TemporaryFolder
let swtpm: Swtpm
let access: TpmAccess

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  access = { transport: { kind: 'unix', path: swtpm.socketPath }, timeoutMs: 10_000, randomBytes }
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

describe('a TPM as a seal member', () => {
  it('has an id made from the name of its storage key', async () => {
    const { storageKeyName } = await readTpmIdentity(access)
    const digest = createHash('sha256').update('sealwright tpm member v1').update(storageKeyName).digest()
    expect(tpmMemberId(storageKeyName)).toEqual(new Uint8Array(digest.subarray(0, ID_BYTES)))
  })

  it('is known from a record while the TPM is away, and opens the record once it is back', async () => {
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const enrolled = tpmSealMember({ ...access, expected: await readTpmIdentity(access), policy: { kind: 'none' } })
    const record = await enrolled.sealKek(kek, { signal })
    await swtpm.stop()

    const member = tpmSealMember({ ...access, expected: expectedTpmOf(record), policy: { kind: 'none' } })
    expect(member.memberId).toEqual(enrolled.memberId)
    await expect(member.unsealKek(record, { signal, method: 'tpm-sealed' })).rejects.toMatchObject({
      code: 'TPM_UNREACHABLE',
    })
    await swtpm.start()
    expect((await member.unsealKek(record, { signal, method: 'tpm-sealed' })).equals(kek)).toBe(true)
  })

  it('refuses the record of another member without asking the TPM', async () => {
    const identity = await readTpmIdentity(access)
    const member = tpmSealMember({ ...access, expected: identity, policy: { kind: 'none' } })
    const record = await member.sealKek(new Secret(Uint8Array.from(randomBytes(32))), { signal })
    await swtpm.stop()
    const storageKeyName = Uint8Array.from(identity.storageKeyName)
    storageKeyName[33] = (storageKeyName[33] ?? 0) ^ 1
    const other = tpmSealMember({ ...access, expected: { ...identity, storageKeyName }, policy: { kind: 'none' } })
    await expect(other.unsealKek(record, { signal, method: 'tpm-sealed' })).rejects.toMatchObject({
      code: 'TPM_BLOB_MALFORMED',
    })
  })

  it('seals and opens with its PIN, and shows it nowhere', async () => {
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const pin = new Secret(Uint8Array.from(Buffer.from('open sesame')))
    const options = { ...access, expected: await readTpmIdentity(access), policy: { kind: 'none' }, pin } as const
    const member = tpmSealMember(options)
    const record = await member.sealKek(kek, { signal })
    expect((await member.unsealKek(record, { signal, method: 'tpm-sealed' })).equals(kek)).toBe(true)
    expect(inspect(options, { depth: 10 }) + JSON.stringify(options)).not.toContain('sesame')
    const wrong = tpmSealMember({ ...options, pin: new Secret(Uint8Array.of(1)) })
    const error: unknown = await wrong
      .unsealKek(record, { signal, method: 'tpm-sealed' })
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'TPM_PIN_WRONG' })
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('sesame')
  })

  it('refuses what was sealed under weaker conditions than it is configured with, without asking the TPM', async () => {
    const expected = await readTpmIdentity(access)
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const record = await tpmSealMember({ ...access, expected, policy: { kind: 'none' } }).sealKek(kek, { signal })
    await swtpm.stop()
    const pin = new Secret(Uint8Array.from(Buffer.from('open sesame')))
    const stricter = tpmSealMember({ ...access, expected, policy: { kind: 'pcr', pcrs: [7, 16] }, pin })
    await expect(stricter.unsealKek(record, { signal, method: 'tpm-sealed' })).rejects.toMatchObject({
      code: 'TPM_POLICY_WEAKER',
      kind: 'operator',
      message: expect.stringMatching(
        /it opens without a PIN and it is not bound to PCR 7, 16; run bootstrap-init with the seal key .* or take the setting back/,
      ) as string,
    })
  })

  it('opens what was sealed under stronger conditions than it is configured with', async () => {
    const expected = await readTpmIdentity(access)
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const strict = tpmSealMember({ ...access, expected, policy: { kind: 'pcr', pcrs: [7, 16] } })
    const record = await strict.sealKek(kek, { signal })
    const lenient = tpmSealMember({ ...access, expected, policy: { kind: 'none' } })
    expect((await lenient.unsealKek(record, { signal, method: 'tpm-sealed' })).equals(kek)).toBe(true)
  })

  it('refuses a key that was made in another way than its record says, without asking the TPM', async () => {
    const identity = await readTpmIdentity(access)
    const member = tpmSealMember({ ...access, expected: identity, policy: { kind: 'none' }, acceptImported: true })
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const sealed = await member.sealKek(kek, { signal })
    const imported = sealKekForRemote(identity, { policy: { kind: 'none' } }, kek, randomBytes)
    expect((await member.unsealKek(imported, { signal, method: 'tpm-imported' })).equals(kek)).toBe(true)
    await swtpm.stop()
    const mismatch = { code: 'TPM_METHOD_MISMATCH', kind: 'permanent' }
    for (const [container, method] of [
      [sealed, 'tpm-imported'],
      [imported, 'tpm-sealed'],
      [sealed, 'transit'],
    ] as const) {
      await expect(member.unsealKek(container, { signal, method })).rejects.toMatchObject(mismatch)
    }
  })

  it('refuses a key that anybody could have made who knows the public storage key', async () => {
    const identity = await readTpmIdentity(access)
    const member = tpmSealMember({ ...access, expected: identity, policy: { kind: 'none' } })
    const forged = sealKekForRemote(
      identity,
      { policy: { kind: 'none' } },
      new Secret(Uint8Array.from(randomBytes(32))),
      randomBytes,
    )
    await expect(member.unsealKek(forged, { signal, method: 'tpm-imported' })).rejects.toMatchObject({
      code: 'TPM_METHOD_REFUSED',
      kind: 'permanent',
    })
  })

  it('refuses an imported key with a PIN, which somebody else has chosen, before it costs a try', async () => {
    const identity = await readTpmIdentity(access)
    const right = new Secret(Uint8Array.from(Buffer.from('right')))
    const theirs = new Secret(Uint8Array.from(Buffer.from('theirs')))
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const made = (pin?: Secret) =>
      sealKekForRemote(identity, { policy: { kind: 'none' }, ...(pin === undefined ? {} : { pin }) }, kek, randomBytes)
    const options = { ...access, expected: identity, policy: { kind: 'none' }, acceptImported: true } as const
    const refused = { code: 'TPM_METHOD_REFUSED', kind: 'permanent' }
    for (const member of [
      tpmSealMember({ ...options, pin: right }),
      tpmSealMember({ ...options, pin: right, acceptWeaker: true }),
      tpmSealMember(options),
    ]) {
      await expect(member.unsealKek(made(theirs), { signal, method: 'tpm-imported' })).rejects.toMatchObject(refused)
    }
    await expect(readTpmStatus(access)).resolves.toMatchObject({ lockoutCounter: 0 })
    // Without a PIN it is weaker than configured: it opens only to be sealed anew, and the PIN is not used for it.
    const weak = { signal, method: 'tpm-imported' } as const
    const strict = tpmSealMember({ ...options, pin: right })
    await expect(strict.unsealKek(made(), weak)).rejects.toMatchObject({ code: 'TPM_POLICY_WEAKER' })
    const resealing = tpmSealMember({ ...options, pin: right, acceptWeaker: true })
    expect((await resealing.unsealKek(made(), weak)).equals(kek)).toBe(true)
  })

  it('stops when the caller does', async () => {
    const expected = await readTpmIdentity(access)
    const member = tpmSealMember({ ...access, expected, policy: { kind: 'none' } })
    const kek = new Secret(new Uint8Array(32))
    await expect(member.sealKek(kek, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'TPM_CANCELLED' })
  })
})
