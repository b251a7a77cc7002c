import { randomBytes } from 'node:crypto'

import { type Holding } from './add-generation.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { type Generation, type Keyring } from './keyring.ts'
import { compareGenerations, currentGeneration } from './lineage.ts'
import { makeLink } from './link.ts'
import { type OpenKeyring } from './open-keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { resigned } from './testing/forger.ts'
import {
  begun,
  broken,
  changed,
  codeNow,
  enrolled,
  opened,
  rotated,
  sealKeyNamed,
  surroundings,
} from './testing/samples.ts'

const [one, two] = [fakeMember('node-1'), fakeMember('node-2')]
/** The key of the first generation, which the intruder has, too. */
const key = () => sealKeyNamed('k')
const aad = new Uint8Array()

async function both(): Promise<Holding> {
  return enrolled(await begun(one), [two])
}

/** The keyring with this generation in the place of the one with its id, or as one more. */
function including({ generations }: Keyring, given: Generation): readonly Generation[] {
  const others = generations.filter(({ id }) => Buffer.compare(id, given.id) !== 0)
  return [...others, given].sort(compareGenerations)
}

/** What `mine` makes of a keyring that this member opens. */
async function told(mine: OpenKeyring, { keyring }: Pick<Holding, 'keyring'>, by = two): Promise<OpenKeyring> {
  return mine.mergedWith(await opened(decodeKeyring(encodeKeyring(keyring)), by))
}

/** A node that does not know of the break, and has taken what an intruder signed under the id of the generation after it. */
async function deceived(before: Holding, after: Holding, change: Partial<Generation>): Promise<OpenKeyring> {
  const twin = resigned(before.keyring, currentGeneration(after.keyring), { signer: key(), change })
  const generations = including(before.keyring, { ...twin, state: 'pending' })
  const forged = changed(before, { generations, revision: 7 })
  const node = await opened(before.keyring, two)
  return node.mergedWith(decodeKeyring(encodeKeyring(forged.keyring)))
}

describe('a twin of the generation after a break, which a node has taken before it heard of the break', () => {
  it.each([
    ['another key id', { keyId: 'intruder' }],
    ['another step', { step: 'chained' }],
    ['another signing key', { signingKey: new Uint8Array(32).fill(7) }],
  ] as const)('does not keep that node from the break: %s', async (_what, change) => {
    const before = await both()
    const after = await broken(before, [one, two])
    const node = await deceived(before, after, change)
    expect(node.keyring.generations.map(({ state }) => state)).toEqual(['active', 'pending'])
    const mended = await told(node, after)
    expect(mended.keyring).toEqual(after.keyring)
    expect(mended.keyId).toBe(currentGeneration(after.keyring).keyId)
    const teller = await opened(after.keyring, one)
    expect(teller.mergedWith(node).keyring).toEqual(teller.keyring)
  })

  it('does not keep it from the next break either', async () => {
    const before = await both()
    const after = await broken(before, [one, two])
    const again = await broken(after, [one, two])
    const node = await deceived(before, after, { keyId: 'intruder' })
    expect((await told(node, again)).keyring).toEqual(again.keyring)
  })
})

describe('two versions of one active generation on two nodes', () => {
  /** A rotation, and another version of it under the key id `other`. */
  async function versions(): Promise<{ readonly mine: Holding; readonly theirs: Holding }> {
    const mine = rotated(await both())
    const { keyring, sealKeys, generation } = mine
    const [from] = keyring.generations
    if (from === undefined) throw new Error('no first generation')
    const to = resigned(keyring, generation, { signer: key(), change: { keyId: 'other' } })
    const ends = { clusterId: keyring.clusterId, from, to }
    const keys = { nextSealKey: sealKeys.of(to.id), sealKey: sealKeys.of(from.id) }
    const links = [makeLink({ ...keys, ends, randomBytes })]
    return { mine, theirs: changed(mine, { generations: including(keyring, to), links }) }
  }

  it('contradict each other until one of them breaks the chain: the other takes that', async () => {
    const { mine, theirs } = await versions()
    const [here, there] = [await opened(mine.keyring, one), await opened(theirs.keyring, two)]
    expect(codeNow(() => here.mergedWith(there))).toBe('KEYRING_DIVERGED')
    expect(codeNow(() => there.mergedWith(here))).toBe('KEYRING_DIVERGED')
    const after = await broken(mine, [one, two])
    expect((await told(there, after)).keyring).toEqual(after.keyring)
    const teller = await opened(after.keyring, one)
    expect(teller.mergedWith(there).keyring).toEqual(teller.keyring)
  })

  it('are one key: blobs that name it by either key id decrypt on the node that took the break', async () => {
    const { mine, theirs } = await versions()
    const [here, there] = [await opened(mine.keyring, one), await opened(theirs.keyring, two)]
    const [blob, otherBlob] = [here, there].map(open =>
      open.encryptBlob({ plaintext: Uint8Array.of(1), aad, ...surroundings }),
    )
    if (blob === undefined || otherBlob === undefined) throw new Error('no blob')
    const after = await broken(mine, [one, two])
    const mended = await told(there, after)
    for (const each of [blob, otherBlob]) expect(mended.decryptBlob({ blob: each, aad })).toEqual(Uint8Array.of(1))
    expect(mended.keyIds).toEqual(after.keyring.generations.map(({ keyId }) => keyId))
    const settled = mended.mergedWith(await opened(after.keyring, one))
    expect(settled).toBe(mended)
  })

  it('are one key also for a node that knows the break alone, and is told of the other key id: open or as bytes', async () => {
    const { mine, theirs } = await versions()
    const there = await opened(theirs.keyring, two)
    const blob = there.encryptBlob({ plaintext: Uint8Array.of(1), aad, ...surroundings })
    const after = await opened((await broken(mine, [one, two])).keyring, one)
    expect(codeNow(() => after.decryptBlob({ blob, aad }))).toBe('KEYRING_KEY_UNKNOWN')
    for (const told of [there, decodeKeyring(encodeKeyring(theirs.keyring))]) {
      const merged = after.mergedWith(told)
      expect(merged.decryptBlob({ blob, aad })).toEqual(Uint8Array.of(1))
      expect(merged.keyring).toEqual(after.keyring)
      expect(merged.mergedWith(told)).toBe(merged)
    }
  })

  it('do not matter where the generation comes after a break itself: the next break reaches both', async () => {
    const before = await both()
    const after = await broken(before, [one, two])
    const to = resigned(after.keyring, after.generation, { signer: key(), change: { keyId: 'other' } })
    const other = await opened(changed(after, { generations: including(after.keyring, to) }).keyring, two)
    expect(codeNow(() => other.mergedWith(after.keyring))).toBe('KEYRING_DIVERGED')
    const again = await broken(after, [one, two])
    expect((await told(other, again)).keyring).toEqual(again.keyring)
    const teller = await opened(again.keyring, one)
    expect(teller.mergedWith(other).keyring).toEqual(teller.keyring)
  })
})

describe('another version of the first generation', () => {
  it('has no say against a break, and does not keep a node from it', async () => {
    const before = await both()
    const after = await broken(before, [one, two])
    const [first] = before.keyring.generations
    if (first === undefined) throw new Error('no first generation')
    const forged = resigned(before.keyring, first, { signer: key(), change: { keyId: 'other' } })
    const node = await opened(changed(before, { generations: [forged] }).keyring, two)
    expect(codeNow(() => node.mergedWith(before.keyring))).toBe('KEYRING_DIVERGED')
    const teller = await opened(after.keyring, one)
    expect(teller.mergedWith(node).keyring).toEqual(teller.keyring)
    expect((await told(node, after)).keyring).toEqual(after.keyring)
  })
})
