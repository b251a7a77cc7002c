import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeKeyring } from '@sealwright/keyring'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal } from './testing/fake-seal.ts'
import {
  absent,
  fails,
  failure,
  newTpm,
  opens,
  testNode,
  type TestNode,
  recordedGenerations,
} from './testing/test-node.ts'

let node: TestNode

beforeEach(async () => {
  node = await testNode()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
})

describe('a node whose configuration asks for other conditions than its record has', () => {
  it('gets a record made anew in its place, proven before it counts, and keeps the one before beside it', async () => {
    const { keyring: before } = await node.run()
    node.seal.configure('pin')
    const { result, keyring, seals } = await node.run()
    expect({ result, seals }).toMatchObject({ result: 'renewed', seals: [opens] })
    expect(keyring.records).toMatchObject([{ entryVersion: 2 }])
    expect(keyring.records.map(({ sealedKek }) => node.seal.compareConditions(sealedKek))).toEqual(['same'])
    expect(await node.storedKeyring()).toEqual(keyring)
    expect(decodeKeyring(await readFile(join(node.storePath, 'keyring.previous')))).toEqual(before)
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('gets one made anew as well where a condition was taken back', async () => {
    node.seal.configure('pin and pcrs')
    await node.run()
    node.seal.configure('none')
    expect(await node.run()).toMatchObject({ result: 'renewed', seals: [opens] })
    expect((await node.storedKeyring()).records.map(({ sealedKek }) => node.seal.compareConditions(sealedKek))).toEqual(
      ['same'],
    )
  })

  it('stays as it was without the seal key, and is told that its seal does not open, although it has a PIN', async () => {
    await using withPin = await testNode({ seal: fakeSeal({ hasPin: true }) })
    await withPin.run()
    const before = await withPin.storeNow()
    withPin.seal.configure('pin')
    expect(await withPin.run({ handedKey: undefined })).toMatchObject({
      result: 'unchanged',
      seals: [fails('TPM_POLICY_WEAKER')],
    })
    expect(await withPin.storeNow()).toEqual(before)
  })

  it('stays as it was, and says why, when the new record does not open now', async () => {
    await node.run()
    const before = (await node.storeNow()) ?? {}
    node.seal.configure('pin')
    node.seal.failOpeningWith(new TpmError('TPM_PCR_MISMATCH', 'PCR 7 changed'))
    await expect(node.run()).rejects.toEqual(failure('BOOTSTRAP_PROOF_FAILED', /TPM_PCR_MISMATCH: PCR 7 changed/))
    expect((await node.storeNow())?.keyring).toEqual(before.keyring)
    node.seal.configure('none')
    node.seal.failOpeningWith(undefined)
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('stays as it was while its TPM is late', async () => {
    await node.run()
    const before = await node.storeNow()
    node.seal.configure('pin')
    node.seal.failWith(absent)
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [fails('TPM_UNREACHABLE')] })
    expect(await node.storeNow()).toEqual(before)
  })

  it('gets every record of its TPM made anew after a rotation, and none if the key of an older one is not at hand', async () => {
    await node.run()
    const nextKey = await node.rotate()
    await node.run()
    const before = (await node.storeNow()) ?? {}
    node.seal.configure('pin')
    await expect(node.run({ handedKey: { sealKey: nextKey, keyId: undefined } })).rejects.toEqual(
      failure('BOOTSTRAP_PROOF_FAILED', /TPM_POLICY_WEAKER/),
    )
    expect((await node.storeNow())?.keyring).toEqual(before.keyring)
    const { result, keyring: renewed } = await node.run()
    expect(result).toBe('renewed')
    expect(recordedGenerations(renewed)).toEqual([1, 2])
    expect(renewed.records.map(({ sealedKek }) => node.seal.compareConditions(sealedKek))).toEqual(['same', 'same'])
  })
})

describe('a seal with a PIN', () => {
  it('is tried once to prove a new record, and never in a run that changes nothing', async () => {
    await using withPin = await testNode({ seal: fakeSeal({ hasPin: true }) })
    expect(await withPin.run()).toMatchObject({ result: 'created', seals: [opens] })
    withPin.seal.failOpeningWith(new TpmError('TPM_PIN_WRONG', 'the TPM refused the PIN'))
    const notTried = { result: 'unchanged', seals: [{ name: 'tpm', state: 'not-tried' }] }
    expect(await withPin.run()).toMatchObject(notTried)
    expect(await withPin.run({ handedKey: undefined })).toMatchObject(notTried)
    expect(withPin.seal.asked().toOpen).toBe(1)
  })

  it('is not tried when only another seal has something to prove', async () => {
    const withPin = fakeSeal({ name: 'pin', priority: 2, hasPin: true })
    await node.run({ seals: [node.seal, withPin] })
    node.seal.useDevice('second')
    expect(await node.run({ ...newTpm, seals: [node.seal, withPin] })).toMatchObject({
      result: 'extended',
      seals: [opens, { name: 'pin', state: 'not-tried' }],
    })
    expect(withPin.asked().toOpen).toBe(1)
  })
})
