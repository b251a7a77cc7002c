import { constants, generateKeyPairSync, publicEncrypt, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SealMember } from '@sealwright/keyring'
import { encodeSealedKek } from '@sealwright/pkcs11'
import { Secret } from '@sealwright/secret'
import { createShareSet, shamirRemoteMember } from '@sealwright/shamir'
import { repositoryRoot, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'
import { readTpmIdentity, type TpmAccess, tpmSealMember, tpmWrappingKey } from '@sealwright/tpm'
import { memoryMember, type MemberShape, REAL_SHAPES } from './memory-member.ts'

const { signal } = new AbortController()

function newKek(): Secret {
  return new Secret(Uint8Array.from(randomBytes(32)))
}

/** What a real member takes up. */
async function shapeOf(
  member: Pick<SealMember, 'sealType' | 'method' | 'sealKek'>,
  { wrappingKey, data }: { readonly wrappingKey: Uint8Array; readonly data: Uint8Array },
): Promise<MemberShape> {
  const { sealType, method } = member
  const sealed = await member.sealKek(newKek(), { signal })
  const lengths = { wrappingKeyBytes: wrappingKey.byteLength, dataBytes: data.byteLength }
  return { sealType, method, sealedKekBytes: sealed.byteLength, ...lengths }
}

const none = new Uint8Array()

describe('a member in memory', () => {
  it.each(REAL_SHAPES)('opens what it sealed, which has the length of $method', async shape => {
    const member = memoryMember(shape)
    const kek = newKek()
    const sealed = await member.sealKek(kek, { signal })
    const opened = await member.unsealKek(sealed, { signal, method: member.method })
    expect(opened.equals(kek)).toBe(true)
    expect(await shapeOf(member, member)).toEqual(shape)
  })
})

describe('the shapes of members', () => {
  const [tpmShape, pkcs11Shape, transitShape, shamirShape] = REAL_SHAPES

  it('include that of a real TPM', async () => {
    await using folder = await temporaryFolder()
    const tpm = await startSwtpm({ directory: folder.path })
    try {
      const access: TpmAccess = { transport: { kind: 'unix', path: tpm.socketPath }, timeoutMs: 30_000, randomBytes }
      const expected = await readTpmIdentity(access)
      const member = tpmSealMember({ ...access, expected, policy: { kind: 'none' } })
      expect(await shapeOf(member, { wrappingKey: tpmWrappingKey(expected), data: none })).toEqual(tpmShape)
    } finally {
      await tpm.stop()
    }
  })

  it('include that of RSA-OAEP with 3,072 bits', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
    const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' } as const
    const ciphertext = publicEncrypt({ key: publicKey, ...oaep }, randomBytes(32))
    const keyReference = randomBytes(32)
    const { oaepHash } = oaep
    expect(encodeSealedKek({ method: 'pkcs11-rsa-oaep', oaepHash, keyReference, ciphertext })).toHaveLength(
      pkcs11Shape?.sealedKekBytes ?? 0,
    )
    expect(publicKey.export({ type: 'spki', format: 'der' })).toHaveLength(pkcs11Shape?.wrappingKeyBytes ?? 0)
  })

  it('include that of a transit key', () => {
    const path = join(repositoryRoot(), 'vectors/transit-sealed-kek/containers.json')
    const [first] = JSON.parse(readFileSync(path, 'utf8')) as readonly { readonly sealedKek: string }[]
    expect(first?.sealedKek).toHaveLength((transitShape?.sealedKekBytes ?? 0) * 2)
  })

  it('include that of a set of five shares', async () => {
    const clusterId = randomBytes(16)
    const set = createShareSet({
      clusterId,
      threshold: 3,
      shares: 5,
      randomBytes: count => Uint8Array.from(randomBytes(count)),
    })
    expect(await shapeOf(shamirRemoteMember(set), set)).toEqual(shamirShape)
  })
})
