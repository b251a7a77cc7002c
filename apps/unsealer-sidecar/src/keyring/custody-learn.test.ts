import { OpenKeyring } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, broken, bytesOf, enrolled, type Holding } from '../testing/keyrings.ts'
import { blobOf, testNode, type TestNode, textOf } from '../testing/test-node.ts'

const WAIT_MS = 10_000

let folder: TemporaryFolder
/** Ours, and that of another node of the same cluster. */
let ours: FakeSeal
let theirs: FakeSeal
let first: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  ours = fakeSeal()
  theirs = fakeSeal({ device: 'b' })
  first = await begun([ours])
  node = testNode({ storePath: folder.join('seal'), seals: [ours] })
  await node.store(first.keyring)
  await node.tryToOpen()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

function opened({ keyring, sealKeys }: Holding): OpenKeyring {
  return OpenKeyring.from(keyring, sealKeys)
}

/** Waits until the store has what is held. */
async function untilStored(): Promise<void> {
  await waitUntil(
    async () => {
      const stored = await node.stored()
      return stored !== undefined && Buffer.compare(stored, bytesOf(node.held())) === 0
    },
    { what: 'the store to have what is held', timeoutMs: WAIT_MS },
  )
}

describe('a node that learns', () => {
  it('unites the siblings of two rotations at once, and decrypts what either encrypted', async () => {
    const [one, other] = [ahead(first), ahead(first)]
    const blobs = [one, other].map(holding => blobOf(opened(holding)))
    await node.absorb(bytesOf(one))
    await node.absorb(bytesOf(other))
    expect(blobs.map(blob => textOf(node.held(), blob))).toEqual(['root key', 'root key'])
    expect(node.held().keyring.generations.map(({ number }) => number)).toEqual([1, 2, 2])
    await untilStored()
    expect(node.refused).toEqual([])
  })

  it('agrees with the others on one keyring, in whichever order they come', async () => {
    const one = ahead(first)
    const other = ahead(await enrolled(first, [theirs]), 2)
    const second = testNode({ storePath: folder.join('other'), seals: [ours] })
    await second.store(first.keyring)
    await second.tryToOpen()
    await node.absorb(bytesOf(one))
    await node.absorb(bytesOf(other))
    await second.absorb(bytesOf(other))
    await second.absorb(bytesOf(one))
    expect(bytesOf(node.held())).toEqual(bytesOf(second.held()))
    await second[Symbol.asyncDispose]()
  })

  it('follows a keyring that is generations ahead by its links, although it has no record of ours', async () => {
    const far = ahead(await begun([theirs]), 3)
    const blob = blobOf(opened(far))
    const before = ours.asked()
    await node.absorb(bytesOf(far))
    expect(node.held().current.number).toBe(4)
    expect(textOf(node.held(), blob)).toBe('root key')
    expect(node.held().keyring.records).toHaveLength(2)
    await untilStored()
    // Once for the keys that the links begin at, once for the proof of what is stored.
    expect(ours.asked()).toBe(before + 2)
  })

  it('asks no seal where what is held is enough to judge', async () => {
    const before = ours.asked()
    await node.absorb(bytesOf(await enrolled(await begun([theirs]), [fakeSeal({ device: 'c' })])))
    expect(node.held().keyring.members).toHaveLength(3)
    await untilStored()
    expect(ours.asked()).toBe(before + 1)
  })

  it('opens by its own record after a broken step', async () => {
    const far = await broken(await enrolled(first, [theirs]), [ours, theirs])
    const blob = blobOf(opened(far))
    await node.absorb(bytesOf(far))
    expect(textOf(node.held(), blob)).toBe('root key')
    expect(node.custody.holder.health('tpm')).toMatchObject({ kind: 'healthy' })
    await untilStored()
  })

  it('holds what it learned again after a restart, from its store', async () => {
    const far = ahead(await begun([theirs]), 2)
    const blob = blobOf(opened(far))
    await node.absorb(bytesOf(far))
    await untilStored()
    await node[Symbol.asyncDispose]()
    node = testNode({ storePath: folder.join('seal'), seals: [ours] })
    await node.tryToOpen()
    expect(textOf(node.held(), blob)).toBe('root key')
  })

  it('learns from an older keyring only what it does not know', async () => {
    const old = bytesOf(await enrolled(first, [theirs]))
    await node.rotate()
    await node.absorb(old)
    expect(node.held().current.number).toBe(2)
    expect(node.held().keyring.members).toHaveLength(2)
    const known = node.held()
    await node.absorb(bytesOf(first))
    expect(node.held()).toBe(known)
  })
})

describe('a node that was left behind by a broken step', () => {
  /** What is known of the health of our seal, before and after `absorb`. */
  async function healthsAround(absorb: () => Promise<void>): Promise<readonly unknown[]> {
    const before = node.custody.holder.health('tpm')
    await absorb()
    return [before, node.custody.holder.health('tpm')].map(health => ({ ...health, unwrappedAtMs: 0, tookMs: 0 }))
  }

  it('does not blame its seal, and tells once, where its only record is from before the step', async () => {
    const far = bytesOf(await broken(await enrolled(first, [theirs]), [theirs]))
    const asked = ours.asked()
    const [before, after] = await healthsAround(async () => {
      await node.absorb(far)
      await node.absorb(far)
    })
    expect(after).toEqual(before)
    expect(node.refused).toMatchObject([{ code: 'KEYRING_LINK_BROKEN' }])
    // At most once, for the keys that links could have begun at.
    expect(ours.asked()).toBeLessThanOrEqual(asked + 1)
    expect(node.held().current.number).toBe(1)
  })

  it('does not blame its seal where the keyring has records of other nodes alone', async () => {
    await node.absorb(bytesOf(await enrolled(first, [theirs])))
    await untilStored()
    const far = bytesOf(await broken(await begun([theirs]), [theirs]))
    const asked = ours.asked()
    const [before, after] = await healthsAround(async () => {
      await node.absorb(far)
      await node.absorb(far)
    })
    expect(after).toEqual(before)
    expect(node.refused).toMatchObject([{ code: 'KEYRING_LINK_BROKEN' }])
    // For the keys that links could have begun at, and for which device ours is.
    expect(ours.asked()).toBeLessThanOrEqual(asked + 2)
  })

  it('is told to state the cluster id where its record is of another node’s making, which it takes only then', async () => {
    const far = bytesOf(await broken(await enrolled(first, [theirs]), [ours, theirs]))
    const asked = ours.asked()
    ours.whenAsked(() => {
      // The first question is for the keys that links could have begun at.
      if (ours.asked() > asked + 1) throw new TpmError('TPM_METHOD_REFUSED', 'this key was made outside the TPM')
    })
    expect(await node.absorb(far)).toMatchObject({
      code: 'KEYRING_ORIGIN_UNPROVEN',
      message: expect.stringContaining('state clusterId there') as string,
    })
    expect(node.custody.holder.health('tpm')).toMatchObject({ kind: 'healthy' })
    expect(node.held().current.number).toBe(1)
  })

  it('catches up once somebody gave it a record', async () => {
    const left = await broken(await enrolled(first, [theirs]), [theirs])
    await node.absorb(bytesOf(left))
    const again = await enrolled(left, [ours])
    await node.absorb(bytesOf(again))
    expect(node.held().current.number).toBe(2)
    await untilStored()
  })
})
