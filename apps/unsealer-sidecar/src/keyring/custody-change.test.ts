import { matchSealKey } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { begun, bytesOf, type Holding, rotated, sealKeyNamed } from '../testing/keyrings.ts'
import { blobOf, testNode, type TestNode, textOf } from '../testing/test-node.ts'

const { signal } = new AbortController()
const down = new TpmError('TPM_UNREACHABLE', 'no TPM answers')

let folder: TemporaryFolder
let seal: FakeSeal
let first: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  seal = fakeSeal()
  first = await begun([seal])
  node = testNode({ storePath: folder.join('seal'), seals: [seal] })
  await node.store(first.keyring)
  await node.tryToOpen()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

describe('a change of the keyring', () => {
  it('is in the store and in use when it is done, and what was encrypted before still decrypts', async () => {
    const blob = blobOf(node.held())
    const result = await node.rotate()
    expect(result).toBe(node.held())
    expect(result.current.number).toBe(2)
    expect(await node.storedKeyring()).toEqual(result.keyring)
    expect(textOf(result, blob)).toBe('root key')
  })

  it('is written, and opened from what was written, before it is used', async () => {
    let openings = 0
    seal.whenAsked(async () => {
      openings += 1
      // The first opening gives the plain keys; what is asked after that is the proof.
      expect(node.held().current.number).toBe(1)
      expect(await node.stored()).toEqual(bytesOf(first))
    })
    await node.rotate()
    expect(openings).toBe(2)
  })

  it('leaves store and memory as they were if the proof fails, and works when it is tried again', async () => {
    seal.whenAsked(() => {
      seal.failWith(seal.asked() > openedBefore + 1 ? down : undefined)
    })
    const openedBefore = seal.asked()
    const before = node.held()
    await expect(node.rotate()).rejects.toMatchObject({ code: 'STORE_PROOF_FAILED' })
    expect(node.held()).toBe(before)
    expect(await node.stored()).toEqual(bytesOf(first))
    expect(textOf(node.held(), blobOf(node.held()))).toBe('root key')

    seal.whenAsked(() => undefined)
    seal.failWith(undefined)
    expect((await node.rotate()).current.number).toBe(2)
  })

  it('is refused while no seal gives the keys, and nothing is written', async () => {
    seal.failWith(down)
    await expect(node.rotate()).rejects.toMatchObject({ code: 'CUSTODY_SEALED' })
    expect(node.held().current.number).toBe(1)
    expect(await node.stored()).toEqual(bytesOf(first))
  })

  it('fails with whatever it throws itself, and nothing is written', async () => {
    const broken = node.custody.change(() => Promise.reject(new RangeError('of its own')), signal)
    await expect(broken).rejects.toThrow('of its own')
    expect(await node.stored()).toEqual(bytesOf(first))
  })

  it('that changes nothing writes nothing and asks for no proof', async () => {
    const before = seal.asked()
    expect(await node.custody.change(unlocked => unlocked, signal)).toBe(node.held())
    expect(seal.asked()).toBe(before + 1)
  })

  it('to a keyring of another cluster is refused, and nothing is written', async () => {
    const other = await begun([seal], 'another cluster')
    const change = node.custody.change(() => other, signal)
    await expect(change).rejects.toMatchObject({ code: 'KEYRING_OTHER_CLUSTER' })
    expect(await node.stored()).toEqual(bytesOf(first))
    expect(node.held().current.number).toBe(1)
  })

  it('whose keyring does not fit its keys is refused, and nothing is written', async () => {
    const change = node.custody.change(unlocked => ({ ...rotated(unlocked), sealKeys: unlocked.sealKeys }), signal)
    await expect(change).rejects.toMatchObject({ code: 'KEYRING_KEY_UNKNOWN' })
    expect(await node.stored()).toEqual(bytesOf(first))
  })

  it('wipes the plain keys that it was given and those that it made, however it ends', async () => {
    const lent: { readonly sealKeys: Holding['sealKeys'] }[] = []
    const watched = (isGood: boolean) => (unlocked: Holding) => {
      const made = rotated(unlocked)
      lent.push(unlocked, made)
      if (!isGood) throw new Error('bad')
      return made
    }
    const { keyring } = await node.custody.change(watched(true), signal)
    await expect(node.custody.change(watched(false), signal)).rejects.toThrow('bad')
    // The last one is what the change itself dropped when it threw.
    const lentKeys = lent
      .slice(0, 3)
      .flatMap(({ sealKeys }) => keyring.generations.flatMap(({ id }) => (sealKeys.has(id) ? [sealKeys.of(id)] : [])))
    expect(lentKeys.length).toBeGreaterThan(3)
    for (const sealKey of lentKeys) expect(() => sealKey.reveal(bytes => bytes.length)).toThrow('wiped')
  })

  it('ends with its signal before it is proven, and nothing is written', async () => {
    const stop = new AbortController()
    const openedBefore = seal.asked()
    seal.whenAsked(() => {
      if (seal.asked() > openedBefore + 1) stop.abort(new Error('enough'))
    })
    const change = node.custody.change(rotated, stop.signal)
    await expect(change).rejects.toThrow('enough')
    expect(await node.stored()).toEqual(bytesOf(first))
    expect(node.held().current.number).toBe(1)
  })
})

describe('changes of the keyring', () => {
  it('run one after another: each sees what the one before it made', async () => {
    let running = 0
    const seen: number[] = []
    const change = () =>
      node.custody.change(async unlocked => {
        running += 1
        expect(running).toBe(1)
        seen.push(unlocked.keyring.generations.length)
        await new Promise(setImmediate)
        running -= 1
        return rotated(unlocked)
      }, signal)
    const failing = () => node.custody.change(() => Promise.reject(new Error('one of them')), signal)
    const [one, , two, three] = await Promise.allSettled([change(), failing(), change(), change()])
    expect([one, two, three].map(outcome => outcome.status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled'])
    expect(seen).toEqual([1, 2, 3])
    expect(node.held().current.number).toBe(4)
    expect((await node.storedKeyring()).generations).toHaveLength(4)
  })

  it('lose nothing that was learned while they ran: two rotations at once become siblings, and both decrypt', async () => {
    const { keyring } = first
    const theirs = rotated({ keyring, sealKeys: matchSealKey({ keyring, sealKey: sealKeyNamed('first') }) })
    const result = await node.custody.change(async unlocked => {
      await node.absorb(bytesOf(theirs))
      return rotated(unlocked)
    }, signal)
    expect(result.keyring.generations.map(({ number }) => number)).toEqual([1, 2, 2])
    expect((await node.storedKeyring()).generations).toHaveLength(3)
    expect(result.keyIds).toHaveLength(3)
  })
})
