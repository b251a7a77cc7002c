import { randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { type TpmAccess } from './operation.ts'
import { tpmRemoteMember, tpmWrappingKey } from './remote-member.ts'
import { tpmSealMember } from './seal-member.ts'
import { type SealPolicy } from './seal-policy.ts'
import { conditionsOf } from './conditions.ts'
import { readTpmIdentity, type TpmIdentity } from './status.ts'

const { signal } = new AbortController()
const kek = new Secret(Uint8Array.from(randomBytes(32)))
const pin = new Secret(Uint8Array.from(Buffer.from('1234')))
let folder: TemporaryFolder
let tpm: Swtpm
let access: TpmAccess
let identity: TpmIdentity

beforeAll(async () => {
  folder = await temporaryFolder()
  tpm = await startSwtpm({ directory: folder.path })
  access = { transport: { kind: 'unix', path: tpm.socketPath }, timeoutMs: 10_000, randomBytes }
  identity = await readTpmIdentity(access)
})

afterAll(async () => {
  await tpm.stop()
  await folder.remove()
})

const policies: readonly Exclude<SealPolicy, { kind: 'authorized' }>[] = [
  { kind: 'none' },
  { kind: 'pcr', pcrs: [7, 16] },
]

describe('a stand-in for a TPM that is not here', () => {
  it.each(policies)('seals under the conditions of an earlier sealed KEK, and the TPM opens it: %j', async policy => {
    const member = tpmSealMember({ ...access, expected: identity, policy, acceptImported: true })
    const like = await member.sealKek(kek, { signal })
    const remote = tpmRemoteMember({ wrappingKey: tpmWrappingKey(identity), like, randomBytes })
    expect(remote.memberId).toEqual(member.memberId)

    const sealed = await remote.sealKek(kek, { signal })
    expect(conditionsOf(sealed)).toEqual({ ...conditionsOf(like), kind: 'imported' })
    using opened = await member.unsealKek(sealed, { signal, method: remote.method })
    expect(opened.equals(kek)).toBe(true)
  })

  it('cannot seal where there is a PIN', async () => {
    const policy = { kind: 'none' } as const
    const like = await tpmSealMember({ ...access, expected: identity, policy, pin }).sealKek(kek, { signal })
    expect(() => tpmRemoteMember({ wrappingKey: tpmWrappingKey(identity), like, randomBytes })).toThrow(
      expect.objectContaining({ code: 'TPM_PIN_REQUIRED' }) as Error,
    )
  })

  it('refuses what is no public key of a TPM, and that of another one', async () => {
    const policy = { kind: 'none' } as const
    const like = await tpmSealMember({ ...access, expected: identity, policy }).sealKek(kek, { signal })
    const own = tpmWrappingKey(identity)
    const other = Uint8Array.from(own)
    other[other.length - 1] = (other[other.length - 1] ?? 0) ^ 1
    for (const wrappingKey of [new Uint8Array(), own.subarray(1), other]) {
      expect(() => tpmRemoteMember({ wrappingKey, like, randomBytes })).toThrow(
        expect.objectContaining({ code: 'TPM_INVALID_ARGUMENT' }) as Error,
      )
    }
  })
})
