import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { addRecord, decodeKeyring, encodeKeyring, matchSealKey } from '@sealwright/keyring'
import { decodeBase64 } from '@sealwright/secret'
import { type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { boot, cutPower, expectOpensByItself, expectSealed, openNode, storeBytes } from './tpm-node.ts'
import { lockoutCounter, tpm2 } from './tpm-tools.ts'

let folder: TemporaryFolder
let node: SealedNode
let sealKeyPath: string
let otherTpm: Swtpm | undefined

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await otherTpm?.stop()
  otherTpm = undefined
  await folder.remove()
})

async function setUp(config?: SealedNodeConfig): Promise<void> {
  ;({ node, sealKeyPath } = await openNode(folder.path, config))
}

describe('a TPM that is not what it was', () => {
  it('is called cleared after its owner hierarchy was cleared, and opens once it was enrolled anew', async () => {
    await setUp()
    await cutPower(node)
    await tpm2(node.tpm, 'clear', '-c', 'lockout')
    const before = await storeBytes(node)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_CLEARED',
      message: 'this TPM was cleared since sealing, and can never open the blob again: open by another seal and enrol',
      retrying: true,
    })
    await expect(storeBytes(node)).resolves.toEqual(before)

    const enrolment = await node.bootstrap(sealKeyPath)
    expect(JSON.parse(enrolment.stdout)).toMatchObject({ result: 'extended', seals: [{ state: 'opens' }] })
    await expectOpensByItself(node)
    const keyring = decodeKeyring(await readFile(keyringPath()))
    expect(keyring.records).toHaveLength(2)
  })

  it('is called another one after it was replaced, and opens when the old one is put back', async () => {
    const socket = folder.join('tpm0')
    await symlink(folder.join('tpm/tpm.sock'), socket)
    await setUp({ tpmSocketPath: socket })
    const before = await storeBytes(node)
    await cutPower(node)
    const directory = folder.join('other')
    await mkdir(directory, { mode: 0o700 })
    otherTpm = await startSwtpm({ directory })
    await plugIn(otherTpm, socket)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_REPLACED',
      message: 'this is another TPM than the one that sealed: put the old one back, or',
      retrying: true,
    })

    await plugIn(node.tpm, socket)
    await expectOpensByItself(node)
    await expect(storeBytes(node)).resolves.toEqual(before)
  })

  it('refuses a PCR that has drifted, names it and no other, and opens after a boot that brings it back', async () => {
    await setUp({ seal: { pcrs: [7, 16] } })
    const before = await storeBytes(node)
    await cutPower(node)
    await tpm2(node.tpm, 'pcrextend', `16:sha256=${'5e'.repeat(32)}`)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_PCR_MISMATCH',
      message: 'this machine is not in the state that the seal demands: PCR 16 changed since sealing',
      retrying: true,
    })

    await node.tpm.powerCycle()
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
    await expect(storeBytes(node)).resolves.toEqual(before)
  })
})

describe('a sealed key in the seal store with one flipped bit', () => {
  it('is refused before the TPM is asked, and opens once a copy is put in its place', async () => {
    await setUp()
    const intact = await readFile(keyringPath())
    await cutPower(node)
    const damaged = Buffer.from(intact)
    flipBit(damaged, damaged.indexOf(SEALED_KEK_MAGIC) + 200)
    await writeFile(keyringPath(), damaged)
    const before = await storeBytes(node)
    await boot(node)
    await expectSealed(node, {
      code: 'STORE_KEYRING_INVALID',
      message: 'KEYRING_RECORD_DAMAGED: the sealed KEK or the wrapped key of member',
      retrying: true,
    })
    await expect(storeBytes(node)).resolves.toEqual(before)

    await putInPlace(intact)
    await expectOpensByItself(node)
  })

  it('is refused by the TPM itself when all checks of the keyring fit it, and opens once a copy is put in its place', async () => {
    await setUp()
    const intact = await readFile(keyringPath())
    await cutPower(node)
    await writeFile(keyringPath(), await withCorruptSealedKey(intact))
    const before = await storeBytes(node)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_BLOB_CORRUPT',
      message: 'the sealed key was changed since it was made (TPM2_Load failed with TPM_RC_INTEGRITY',
      retrying: true,
    })
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
    await expect(storeBytes(node)).resolves.toEqual(before)

    await putInPlace(intact)
    await expectOpensByItself(node)
  })
})

/** ASCII, at the beginning of each sealed KEK: docs/formats/tpm-sealed-kek.md. */
const SEALED_KEK_MAGIC = 'SWTK'

function keyringPath(): string {
  return `${node.storePath}/keyring`
}

function flipBit(bytes: Uint8Array, index: number): void {
  bytes[index] = (bytes[index] ?? 0) ^ 1
}

async function plugIn(tpm: Swtpm, socket: string): Promise<void> {
  await rm(socket)
  await symlink(tpm.socketPath, socket)
}

/** At once, as `mv` does: the agent may be reading. */
async function putInPlace(keyring: Uint8Array): Promise<void> {
  const copy = folder.join('keyring.copy')
  await writeFile(copy, keyring, { mode: 0o600 })
  await rename(copy, keyringPath())
}

/** A keyring whose record, MAC and all agree, made by somebody who has the seal key around a sealed object that was changed. */
async function withCorruptSealedKey(stored: Uint8Array): Promise<Uint8Array> {
  const keyring = decodeKeyring(stored)
  const [record] = keyring.records
  if (record === undefined) throw new Error('the keyring has no record')
  const sealedKek = Uint8Array.from(record.sealedKek)
  flipBit(sealedKek, sealedKek.byteLength - 1)
  const sealKey = decodeBase64(await readFile(`${sealKeyPath}/seal-key`))
  const sealKeys = matchSealKey({ keyring, sealKey })
  try {
    const corrupt = await addRecord({
      keyring,
      sealKeys,
      generation: record.generation,
      sealName: 'tpm',
      member: { sealType: 'tpm', memberId: record.memberId, sealKek: () => Promise.resolve(sealedKek) },
      method: record.method,
      label: node.name,
      now: Date.now,
      randomBytes,
      signal: new AbortController().signal,
    })
    return encodeKeyring(corrupt)
  } finally {
    sealKeys.wipe()
    sealKey.wipe()
  }
}
