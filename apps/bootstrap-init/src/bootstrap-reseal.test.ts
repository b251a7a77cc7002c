import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeKeyring } from '@sealwright/keyring'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal } from './testing/fake-seal.ts'
import { absent, fails, failure, opens, reseal, testNode, type TestNode } from './testing/test-node.ts'

const DRIFTED = fails('TPM_PCR_MISMATCH')

let node: TestNode

beforeEach(async () => {
  node = await testNode()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
})

describe('a node whose PCRs drifted', () => {
  it('stays as it was with the seal key alone: a drift may be an attack', async () => {
    await node.run()
    const before = await node.storeNow()
    node.seal.drift()
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [DRIFTED] })
    expect(await node.run({ handedKey: undefined })).toMatchObject({ result: 'unchanged', seals: [DRIFTED] })
    expect(await node.storeNow()).toEqual(before)
  })

  it('is sealed anew in the place of the old record where that is asked for, and the keyring before stays beside it', async () => {
    const { keyring: before } = await node.run()
    node.seal.drift()
    const { result, keyring, seals } = await node.run(reseal)
    expect({ result, seals }).toMatchObject({ result: 'renewed', seals: [opens] })
    expect(keyring.records).toMatchObject([{ entryVersion: 2 }])
    expect(await node.storedKeyring()).toEqual(keyring)
    expect(decodeKeyring(await readFile(join(node.storePath, 'keyring.previous')))).toEqual(before)
    expect(await node.run(reseal)).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('stays as it was when what was sealed anew does not open', async () => {
    await node.run()
    const before = (await node.storeNow()) ?? {}
    node.seal.failOpeningWith(new TpmError('TPM_PCR_MISMATCH', 'a PCR that changes all the time'))
    await expect(node.run(reseal)).rejects.toEqual(failure('BOOTSTRAP_PROOF_FAILED', /changes all the time/))
    expect((await node.storeNow())?.keyring).toEqual(before.keyring)
  })

  it('has all its records made anew after a rotation, and none if one of them is of a key that is not at hand', async () => {
    await node.run()
    const nextKey = await node.rotate()
    await node.run()
    const before = (await node.storeNow()) ?? {}
    node.seal.drift()
    await expect(node.run({ ...reseal, handedKey: { sealKey: nextKey, keyId: undefined } })).rejects.toEqual(
      failure('BOOTSTRAP_PROOF_FAILED', /TPM_PCR_MISMATCH/),
    )
    expect((await node.storeNow())?.keyring).toEqual(before.keyring)
    const { result, keyring, seals } = await node.run(reseal)
    expect({ result, seals }).toMatchObject({ result: 'renewed', seals: [opens] })
    expect(keyring.records).toMatchObject([{ entryVersion: 2 }, { entryVersion: 2 }])
  })

  it('is named when a rotation needs one more record beside the one that drifted', async () => {
    await node.run()
    await node.rotate()
    const before = (await node.storeNow()) ?? {}
    node.seal.drift()
    await expect(node.run()).rejects.toEqual(
      failure('BOOTSTRAP_PROOF_FAILED', /\(TPM_PCR_MISMATCH: PCR 7 changed since sealing\)/),
    )
    expect((await node.storeNow())?.keyring).toEqual(before.keyring)
    expect(await node.run(reseal)).toMatchObject({ result: 'renewed', seals: [opens] })
  })

  it('keeps the records of other TPMs as they are', async () => {
    await node.run()
    node.seal.useDevice('second')
    const { keyring: before } = await node.run({ permissions: { newTpm: true, reseal: false } })
    node.seal.drift()
    const { keyring } = await node.run(reseal)
    const entryVersions = keyring.records.map(({ entryVersion }) => entryVersion)
    expect(entryVersions.sort()).toEqual([1, 2])
    const kept = keyring.records.find(({ entryVersion }) => entryVersion === 1)
    expect(before.records).toContainEqual(kept)
  })
})

describe('what else does not open', () => {
  it('is sealed anew where the sealed key was damaged', async () => {
    await node.run()
    node.seal.spoil()
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [fails('TPM_BLOB_CORRUPT')] })
    expect(await node.run(reseal)).toMatchObject({ result: 'renewed', seals: [opens] })
  })

  it.each([new TpmError('TPM_PIN_WRONG', 'the TPM refused the PIN'), new TpmError('TPM_RC', 'odd', { rc: 0x84 })])(
    'is no reason to seal anew: %s',
    async error => {
      await node.run()
      const before = await node.storeNow()
      node.seal.failOpeningWith(error)
      await expect(node.run(reseal)).rejects.toEqual(failure(error.code))
      expect(await node.storeNow()).toEqual(before)
    },
  )

  it('is waited for where it will pass', async () => {
    await node.run()
    const before = await node.storeNow()
    node.seal.failOpeningWith(absent)
    expect(await node.run(reseal)).toMatchObject({ result: 'unchanged', seals: [fails('TPM_UNREACHABLE')] })
    expect(await node.storeNow()).toEqual(before)
  })
})

describe('a seal with a PIN', () => {
  it('is tried where sealing anew is asked for, and then says what it is', async () => {
    await using withPin = await testNode({ seal: fakeSeal({ hasPin: true }) })
    await withPin.run()
    expect(await withPin.run(reseal)).toMatchObject({ result: 'unchanged', seals: [opens] })
    withPin.seal.drift()
    expect(await withPin.run(reseal)).toMatchObject({ result: 'renewed', seals: [opens] })
  })
})
