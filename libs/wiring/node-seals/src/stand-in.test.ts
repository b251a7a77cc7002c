import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { createKeyring, type Keyring, type KeyringRecord } from '@sealwright/keyring'
import { pkcs11MemberId, pkcs11RemoteMember, rsaKeyReference } from '@sealwright/pkcs11'
import { Secret } from '@sealwright/secret'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { standInFor } from './stand-in.ts'
import { tpmSeals } from './testing/tpm-seals.ts'

const { signal } = new AbortController()
const SHA256_BYTES = 32
const PIN = 'correct horse'

let folder: TemporaryFolder
let tpm: Swtpm

beforeAll(async () => {
  folder = await temporaryFolder()
  tpm = await startSwtpm({ directory: folder.path })
})

afterAll(async () => {
  await tpm.stop()
  await folder.remove()
})

/** Who can seal for the only member of a keyring with these records. */
function standIn(keyring: Keyring, records: readonly KeyringRecord[]) {
  const [seal] = keyring.seals
  const [member] = keyring.members
  if (seal === undefined || member === undefined) throw new Error('no member')
  return standInFor({ ...keyring, records }, seal, member)
}

/** The same record made later, or earlier, with something else in it. */
function planted(record: KeyringRecord, createdAtMs: number, sealedKek: Uint8Array): KeyringRecord {
  return { ...record, createdAtMs, sealedKek, generationId: Uint8Array.from(randomBytes(16)) }
}

async function rsaKeyring(): Promise<Keyring> {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const spki = Uint8Array.from(publicKey.export({ type: 'spki', format: 'der' }))
  const memberId = pkcs11MemberId(rsaKeyReference(spki))
  const member = pkcs11RemoteMember({ spki, memberId, oaepHash: 'sha256' })
  const made = {
    sealName: 'hsm',
    label: 'node',
    member,
    wrappingKey: spki,
    method: member.method,
    now: Date.now,
    randomBytes,
    signal,
  }
  return await createKeyring({ ...made, sealKey: new Secret(randomBytes(SHA256_BYTES)) })
}

describe('who can seal for a member that is away', () => {
  const junk = Uint8Array.from(randomBytes(60))

  it('is told by the newest record that can be the member’s, whatever somebody has planted', async () => {
    for (const keyring of [await rsaKeyring(), await tpmSeals(tpm.socketPath).enrol(tpmSeals(tpm.socketPath).only())]) {
      const [record] = keyring.records
      if (record === undefined) throw new Error('no record')
      expect(standIn(keyring, [record]).kind).toBe('can')
      const later = planted(record, Number.MAX_SAFE_INTEGER, junk)
      expect(standIn(keyring, [later, record]).kind).toBe('can')
      expect(standIn(keyring, [record, later]).kind).toBe('can')
      expect(standIn(keyring, [later]).kind).toBe('cannot')
      expect(standIn(keyring, []).kind).toBe('cannot')
    }
  })

  it('is nobody for a TPM that seals with a PIN, although an older record asks for none', async () => {
    const seals = tpmSeals(tpm.socketPath)
    const plain = await seals.enrol(seals.only())
    const pinFile = folder.join('pin')
    await writeFile(pinFile, PIN, { mode: 0o600 })
    const withPin = await tpmSeals(tpm.socketPath).enrol(seals.only({ pinFile }))
    const [older] = plain.records
    const [newer] = withPin.records
    if (older === undefined || newer === undefined) throw new Error('no records')
    const records = [
      { ...older, createdAtMs: 1 },
      { ...newer, createdAtMs: 2 },
    ]
    expect(standIn(withPin, records)).toMatchObject({
      kind: 'cannot',
      reason: expect.stringContaining('PIN') as string,
    })
  })
})
