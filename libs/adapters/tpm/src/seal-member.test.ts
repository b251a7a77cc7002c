import { createHash, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'

import { ID_BYTES } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { type TpmAccess } from './operation.ts'
import { expectedTpmOf, tpmMemberId, tpmSealMember } from './seal-member.ts'
import { readTpmIdentity } from './status.ts'

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
    await expect(member.unsealKek(record, { signal })).rejects.toMatchObject({ code: 'TPM_UNREACHABLE' })
    await swtpm.start()
    expect((await member.unsealKek(record, { signal })).equals(kek)).toBe(true)
  })

  it('refuses the record of another member without asking the TPM', async () => {
    const identity = await readTpmIdentity(access)
    const member = tpmSealMember({ ...access, expected: identity, policy: { kind: 'none' } })
    const record = await member.sealKek(new Secret(Uint8Array.from(randomBytes(32))), { signal })
    await swtpm.stop()
    const storageKeyName = Uint8Array.from(identity.storageKeyName)
    storageKeyName[33] = (storageKeyName[33] ?? 0) ^ 1
    const other = tpmSealMember({ ...access, expected: { ...identity, storageKeyName }, policy: { kind: 'none' } })
    await expect(other.unsealKek(record, { signal })).rejects.toMatchObject({ code: 'TPM_BLOB_MALFORMED' })
  })

  it('seals and opens with its PIN, and shows it nowhere', async () => {
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const pin = new Secret(Uint8Array.from(Buffer.from('open sesame')))
    const options = { ...access, expected: await readTpmIdentity(access), policy: { kind: 'none' }, pin } as const
    const member = tpmSealMember(options)
    const record = await member.sealKek(kek, { signal })
    expect((await member.unsealKek(record, { signal })).equals(kek)).toBe(true)
    expect(inspect(options, { depth: 10 }) + JSON.stringify(options)).not.toContain('sesame')
    const wrong = tpmSealMember({ ...options, pin: new Secret(Uint8Array.of(1)) })
    const error: unknown = await wrong.unsealKek(record, { signal }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'TPM_PIN_WRONG' })
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('sesame')
  })

  it('stops when the caller does', async () => {
    const expected = await readTpmIdentity(access)
    const member = tpmSealMember({ ...access, expected, policy: { kind: 'none' } })
    const kek = new Secret(new Uint8Array(32))
    await expect(member.sealKek(kek, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'TPM_CANCELLED' })
  })
})
