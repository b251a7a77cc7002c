import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { addRecord, decodeKeyring, encodeKeyring, matchSealKey } from '@sealwright/keyring'
import { decodeBase64 } from '@sealwright/secret'
import { type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { startSwtpm, type Swtpm } from '@sealwright/testing-rig'
import { expectBootstraps, expectSealClosed } from './bootstrap-run.ts'
import { expectOpensByItself, expectSealed } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { openNode } from './served-node.ts'
import { keyringPath, storeEntries, type StoreEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'
import { lockoutCounter, tpm2 } from './tpm-tools.ts'

/** ASCII, at the beginning of each sealed KEK: docs/formats/tpm-sealed-kek.md. */
const SEALED_KEK_MAGIC = 'SWTK'

const scope = testScope()
let node: SealedNode
let sealKeyPath: string
let intact: Buffer
let before: StoreEntries

/** A node that was open once, and has no power now. */
async function setUp(config?: SealedNodeConfig): Promise<void> {
  ;({ node, sealKeyPath } = await openNode(scope, config))
  await cutPower(node)
  intact = await readFile(keyringPath(node))
  before = await storeEntries(node.storePath)
}

describe('a TPM that is not what it was', () => {
  it('is called cleared after its owner hierarchy was cleared, and opens once it was enrolled anew', async () => {
    await setUp()
    await tpm2(node.tpm, 'clear', '-c', 'lockout')

    await boot(node)
    await expectSealed(node, {
      code: 'TPM_CLEARED',
      message: 'this TPM was cleared since sealing, and can never open the blob again: open by another seal and enrol',
      retrying: true,
    })
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)

    await expectBootstraps(node, sealKeyPath, 'extended', ['--new-tpm'])
    await expectOpensByItself(node)
    expect(decodeKeyring(await readFile(keyringPath(node))).records).toHaveLength(2)
  })

  it('is called another one after it was replaced, and opens when the old one is put back', async () => {
    const socket = scope.folder.join('tpm0')
    await symlink(scope.folder.join('tpm/tpm.sock'), socket)
    await setUp({ tpmSocketPath: socket })
    await plugIn(await startOtherTpm(), socket)

    await boot(node)
    await expectSealed(node, {
      code: 'TPM_REPLACED',
      message: 'this is another TPM than the one that sealed: put the old one back, or',
      retrying: true,
    })

    await plugIn(node.tpm, socket)
    await expectOpensByItself(node)
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)
  })
})

describe('a sealed key in the seal store with one flipped bit', () => {
  it('is refused before the TPM is asked, and opens once a copy is put in its place', async () => {
    await setUp()
    const damaged = Buffer.from(intact)
    flipBit(damaged, damaged.indexOf(SEALED_KEK_MAGIC) + 200)
    await expectSealedUntilMended(damaged, {
      code: 'STORE_KEYRING_INVALID',
      message: 'KEYRING_RECORD_DAMAGED: the sealed KEK or the wrapped key of member',
    })
  })

  it('is refused by the TPM itself when all checks of the keyring fit it, and opens once a copy is put in its place', async () => {
    await setUp()
    await expectSealedUntilMended(await withCorruptSealedKey(intact), {
      code: 'TPM_BLOB_CORRUPT',
      message: 'the sealed key was changed since it was made (TPM2_Load failed with TPM_RC_INTEGRITY',
    })
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
  })

  it('is made anew where there is no copy, with the seal key and --reseal', async () => {
    await setUp()
    const corrupt = await withCorruptSealedKey(intact)
    await putInPlace(corrupt)
    await boot(node)
    await expectSealed(node, { code: 'TPM_BLOB_CORRUPT', message: 'the sealed key was changed', retrying: true })
    await expectSealClosed(node, 'TPM_BLOB_CORRUPT', sealKeyPath)

    await expectBootstraps(node, sealKeyPath, 'renewed', ['--reseal'])

    await expectOpensByItself(node)
    const { 'keyring.previous': previous } = await storeEntries(node.storePath)
    expect(previous?.hex).toBe(Buffer.from(corrupt).toString('hex'))
  })
})

/** Boots with a damaged keyring, which must be left as it is, and then has the operator put a copy in its place. */
async function expectSealedUntilMended(
  damaged: Uint8Array,
  failure: { readonly code: string; readonly message: string },
): Promise<void> {
  await writeFile(keyringPath(node), damaged)
  const asDamaged = await storeEntries(node.storePath)

  await boot(node)
  await expectSealed(node, { ...failure, retrying: true })
  await expect(storeEntries(node.storePath)).resolves.toEqual(asDamaged)

  await putInPlace(intact)
  await expectOpensByItself(node)
}

function flipBit(bytes: Uint8Array, index: number): void {
  bytes[index] = (bytes[index] ?? 0) ^ 1
}

/** A TPM that nobody has plugged in yet. */
async function startOtherTpm(): Promise<Swtpm> {
  const directory = scope.folder.join('other')
  await mkdir(directory, { mode: 0o700 })
  const tpm = await startSwtpm({ directory })
  scope.afterwards(() => tpm.stop())
  return tpm
}

async function plugIn(tpm: Swtpm, socket: string): Promise<void> {
  await rm(socket)
  await symlink(tpm.socketPath, socket)
}

/** At once, as `mv` does: the agent may be reading. */
async function putInPlace(keyring: Uint8Array): Promise<void> {
  const copy = scope.folder.join('keyring.copy')
  await writeFile(copy, keyring, { mode: 0o600 })
  await rename(copy, keyringPath(node))
}

/** A keyring whose record, MAC and all agree, made by somebody who has the seal key around a sealed object that was changed. */
async function withCorruptSealedKey(stored: Uint8Array): Promise<Uint8Array> {
  const keyring = decodeKeyring(stored)
  const [record] = keyring.records
  if (record === undefined) throw new Error('the keyring has no record')
  const sealedKek = Uint8Array.from(record.sealedKek)
  flipBit(sealedKek, sealedKek.byteLength - 1)
  const sealKey = decodeBase64(await readFile(join(sealKeyPath, 'seal-key')))
  const sealKeys = matchSealKey({ keyring, sealKey })
  try {
    const corrupt = await addRecord({
      keyring,
      sealKeys,
      generationId: record.generationId,
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
