import { randomBytes } from 'node:crypto'
import { currentGeneration, encodeKeyring, type KeyringRecord, MAX_KEYRING_BYTES } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import {
  ahead,
  begun,
  broken,
  bytesOf,
  enrolled,
  handingOut,
  type Holding,
  withForgedLineage,
  withForgedMac,
} from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'

let folder: TemporaryFolder
let ours: FakeSeal
let first: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  ours = fakeSeal()
  first = await begun([ours])
  node = testNode({ storePath: folder.join('seal'), seals: [ours] })
  await node.store(first.keyring)
  await node.tryToOpen()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** Absorbs the same bytes three times; what is held and stored must be what it was. Tells what the first time cost, and the others. */
async function refusing(bytes: Uint8Array) {
  const held = node.held()
  const asked: number[] = []
  for (let times = 0; times < 3; times += 1) {
    const before = ours.asked()
    await node.absorb(bytes)
    asked.push(ours.asked() - before)
  }
  expect(node.held()).toBe(held)
  expect(await node.stored()).toEqual(bytesOf(held))
  const [first = 0, ...again] = asked
  return { first, again, health: node.custody.holder.health('tpm').kind }
}

/** That a keyring was told of once, by this code. */
function expectToldOnce(code: string): void {
  expect(node.refused).toMatchObject([{ code }])
}

describe('a keyring that comes with a blob', () => {
  it.each<[string, string, () => Uint8Array | Promise<Uint8Array>]>([
    ['is of another cluster', 'KEYRING_OTHER_CLUSTER', async () => bytesOf(await begun([ours], 'another cluster'))],
    ['has a forged lineage', 'KEYRING_LINEAGE_FORGED', () => withForgedLineage(ahead(first, 2))],
    [
      'has a forged MAC',
      'KEYRING_AUTH_FAILED',
      async () => withForgedMac(await enrolled(first, [fakeSeal({ device: 'b' })])),
    ],
    ['is too large', 'KEYRING_TOO_LARGE', () => new Uint8Array(MAX_KEYRING_BYTES + 1)],
    ['is junk', 'KEYRING_MALFORMED', () => randomBytes(300)],
    ['is cut', 'KEYRING_MALFORMED', () => bytesOf(first).subarray(0, 200)],
  ])('and %s is refused as %s, told once, and no seal is asked', async (_, code, make) => {
    expect(await refusing(await make())).toEqual({ first: 0, again: [0, 0], health: 'healthy' })
    expectToldOnce(code)
  })

  it('and is ahead with a forged MAC is refused after a seal was asked once', async () => {
    expect(await refusing(withForgedMac(ahead(first, 2)))).toEqual({ first: 1, again: [0, 0], health: 'healthy' })
    expectToldOnce('KEYRING_AUTH_FAILED')
  })

  it('and has a forged MAC after a broken step is refused once and for all, and our seal is not blamed', async () => {
    const { first: asked, again, health } = await refusing(withForgedMac(await broken(first, [ours])))
    expect(health).toBe('healthy')
    // One question for where links could begin, and one for each of our records in it.
    expect(asked).toBeLessThanOrEqual(3)
    expect(again).toEqual([0, 0])
    expectToldOnce('KEYRING_AUTH_FAILED')
  })

  it('and calls a generation active that is only being handed out is refused once and for all, without blame', async () => {
    const { keyring } = await handingOut(first, [ours])
    // States are not signed: whoever has read a blob, or a snapshot, can change one byte of it.
    const generations = keyring.generations.map(each => ({ ...each, state: 'active' as const }))
    const { first: asked, again, health } = await refusing(encodeKeyring({ ...keyring, generations }))
    expect(health).toBe('healthy')
    expect(asked).toBeLessThanOrEqual(3)
    expect(again).toEqual([0, 0])
    expectToldOnce('KEYRING_AUTH_FAILED')
  })

  it('and has a spoiled record of ours after a broken step is refused without blame: the record is not the one we made', async () => {
    const [far, stranger] = [await broken(first, [ours]), await broken(first, [ours])]
    const newest = ({ keyring }: typeof far): KeyringRecord | undefined =>
      keyring.records.find(({ generationId }) => Buffer.compare(generationId, currentGeneration(keyring).id) === 0)
    const [last, foreign] = [newest(far), newest(stranger)]
    if (last === undefined || foreign === undefined) throw new Error('no records of the new generation')
    // The record of another generation in the place of ours.
    const { sealedKek, wrappedKey } = foreign
    const records = far.keyring.records.map(each => (each === last ? { ...each, sealedKek, wrappedKey } : each))
    const swapped = { ...far.keyring, records }
    const { first: asked, again, health } = await refusing(encodeKeyring(swapped))
    expect(health).toBe('healthy')
    expect(asked).toBeLessThanOrEqual(3)
    expect(again).toEqual([0, 0])
    expectToldOnce('KEYRING_RECORD_AUTH_FAILED')
  })

  it('is asked for once although several calls bring it at the same time', async () => {
    const far = bytesOf(ahead(first, 2))
    const before = ours.asked()
    await Promise.all([node.absorb(far), node.absorb(far), node.absorb(far)])
    expect(node.held().current.number).toBe(3)
    // Once for the plain keys, and at most once for the proof of what is stored.
    expect(ours.asked()).toBeLessThanOrEqual(before + 2)
  })

  it('is not taken where no seal may be asked, and says so, also to an operator', async () => {
    const far = bytesOf(await broken(first, [ours]))
    ours.failWith(new TpmError('TPM_PIN_WRONG', 'the PIN was refused'))
    await node.tryToOpen()
    const asked = ours.asked()
    expect(await node.absorb(far)).toMatchObject({ code: 'CUSTODY_SEALED' })
    expect(node.refused).toMatchObject([{ code: 'CUSTODY_SEALED' }])
    await expect(node.custody.learn(far, new AbortController().signal)).rejects.toMatchObject({
      code: 'CUSTODY_SEALED',
    })
    expect(ours.asked()).toBe(asked)
    ours.failWith(undefined)
    node.custody.startAfresh()
    expect(await node.absorb(far)).toBeUndefined()
    expect(node.held().current.number).toBe(2)
  })

  it('is looked at again after our seal was down', async () => {
    const far = bytesOf(ahead(first, 2))
    ours.failWith(new TpmError('TPM_UNREACHABLE', 'no TPM answers'))
    await node.absorb(far)
    expect(node.refused).toMatchObject([{ code: 'CUSTODY_SEALED' }])
    ours.failWith(undefined)
    await node.absorb(far)
    expect(node.held().current.number).toBe(3)
  })
})
