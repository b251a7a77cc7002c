import { type Holding } from './add-generation.ts'
import { type Keyring } from './keyring.ts'
import { compareGenerations, currentGeneration } from './lineage.ts'
import { type OpenKeyring } from './open-keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  begun,
  codeNow,
  codeOf,
  enrolled,
  heldBy,
  opened,
  pending,
  recordsOf,
  retired,
  rotated,
  surroundings,
  unwrap,
} from './testing/samples.ts'

const [one, two, three] = [fakeMember('node-1'), fakeMember('node-2'), fakeMember('node-3')]
const aad = new Uint8Array()

/** Two nodes that rotated at once: each knows its own generation 2. The first one's wins. */
async function twoNodes(): Promise<{ readonly winner: Holding; readonly loser: Holding }> {
  const before = await enrolled(await begun(one), [two])
  const sides = [rotated(before), rotated(before)]
  const [winner, loser] = sides.sort((a, b) => compareGenerations(a.generation, b.generation))
  if (winner === undefined || loser === undefined) throw new Error('no two sides')
  return { winner, loser }
}

/** What a node makes of its own keyring and of one from another node, which it opens by its own member first. */
async function merged(mine: Keyring, theirs: Keyring, member = one): Promise<OpenKeyring> {
  return (await opened(mine, member)).mergedWith(await opened(theirs, member))
}

describe('two nodes that rotate at once', () => {
  it('cannot judge one another by the keys that they hold, and have to open the other keyring first', async () => {
    const { winner, loser } = await twoNodes()
    const open = await opened(winner.keyring, one)
    expect(codeNow(() => open.mergedWith(loser.keyring))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('agree on one current generation, whoever merges', async () => {
    const { winner, loser } = await twoNodes()
    const mine = await merged(winner.keyring, loser.keyring, one)
    const theirs = await merged(loser.keyring, winner.keyring, two)
    expect(mine.keyring).toEqual(theirs.keyring)
    expect(mine.current).toEqual(currentGeneration(winner.keyring))
    expect(mine.keyring.links).toHaveLength(2)
  })

  it('both decrypt afterwards what either encrypted before, also when they open the keyring anew', async () => {
    const { winner, loser } = await twoNodes()
    const blobs = await Promise.all(
      [winner, loser].map(async ({ keyring }) =>
        (await opened(keyring, one)).encryptBlob({ plaintext: Uint8Array.of(1), aad, ...surroundings }),
      ),
    )
    const { keyring } = await merged(winner.keyring, loser.keyring)
    for (const member of [one, two]) {
      const open = await opened(keyring, member)
      expect(open.keyIds).toHaveLength(3)
      for (const blob of blobs) expect(open.decryptBlob({ blob, aad })).toEqual(Uint8Array.of(1))
    }
  })

  it('go on from the one that won, and the next rotation settles it', async () => {
    const { winner, loser } = await twoNodes()
    const { keyring } = await merged(winner.keyring, loser.keyring)
    const next = rotated({ keyring, sealKeys: await unwrap(keyring, two) })
    expect(next.generation).toMatchObject({ number: 3, parentId: currentGeneration(winner.keyring).id })
    expect(heldBy(next.keyring, await unwrap(next.keyring, one))).toEqual(['1', '2a', '2b', '3'])
  })

  it('prefer the longer of two chains to the lower id', async () => {
    const { winner, loser } = await twoNodes()
    const longer = rotated(loser)
    const { keyring, current } = await merged(winner.keyring, longer.keyring)
    expect(current).toEqual(longer.generation)
    expect(heldBy(keyring, await unwrap(keyring, two))).toEqual(['1', '2a', '2b', '3'])
  })

  it('do not mix up what is still pending on one side', async () => {
    const before = await enrolled(await begun(one), [two])
    const mine = pending(before)
    const theirs = rotated(before)
    const { keyring, current } = await merged(mine.keyring, theirs.keyring)
    expect(current).toEqual(theirs.generation)
    expect(keyring.generations.map(({ state }) => state).sort()).toEqual(['active', 'active', 'pending'])
  })

  it('get the record back that one of them dropped when it retired the generation before', async () => {
    const { winner, loser } = await twoNodes()
    const moved = await enrolled(loser, [two])
    const [first] = moved.keyring.generations
    const dropped = first === undefined ? moved : retired(moved, first)
    expect(recordsOf(dropped.keyring, two)).toEqual(['2'])
    const { keyring } = await merged(winner.keyring, dropped.keyring)
    expect(recordsOf(keyring, two)).toEqual(['1', '2b'])
    expect(heldBy(keyring, await unwrap(keyring, two))).toEqual(['1', '2a', '2b'])
  })
})

describe('a member that was let in meanwhile', () => {
  it('keeps its way in if its record is of a generation that both sides know', async () => {
    const { winner, loser } = await twoNodes()
    const [first] = loser.keyring.generations
    const more = await enrolled(loser, [three], first?.id)
    const { keyring } = await merged(winner.keyring, more.keyring)
    expect(heldBy(keyring, await unwrap(keyring, three))).toEqual(['1', '2a', '2b'])
  })

  it('has to be let in again if its only record is of the generation that did not win, and is told so', async () => {
    const { winner, loser } = await twoNodes()
    const newcomer = fakeMember('node-3')
    const more = await enrolled(loser, [newcomer])
    const { keyring } = await merged(winner.keyring, more.keyring)
    expect(await codeOf(() => unwrap(keyring, newcomer))).toBe('KEYRING_LINK_BROKEN')
    expect(newcomer.unsealed).toEqual([])
    const again = await enrolled({ keyring, sealKeys: await unwrap(keyring, one) }, [newcomer])
    expect(heldBy(again.keyring, await unwrap(again.keyring, newcomer))).toEqual(['2a', '2b'])
  })
})
