import { activateGeneration, addGeneration, type Holding } from './add-generation.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { derivePublicSigningKey } from './key-schedule.ts'
import { type Keyring } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { type OpenKeyring } from './open-keyring.ts'
import { type GenerationState } from './registry.ts'
import { fakeMember } from './testing/fake-member.ts'
import { withChain } from './testing/flood.ts'
import { evilKey, putOnTop, resigned } from './testing/forger.ts'
import {
  begun,
  broken,
  changed,
  codeNow,
  enrolled,
  keyringOf,
  opened,
  recordsOf,
  retired,
  rotated,
  sealKeyNamed,
  surroundings,
  without,
} from './testing/samples.ts'

const [one, two] = [fakeMember('node-1'), fakeMember('node-2')]
const key = () => sealKeyNamed('k')
const aad = new Uint8Array()
const encrypt = (open: OpenKeyring) => open.encryptBlob({ plaintext: Uint8Array.of(1), aad, ...surroundings })

/** Both nodes before a break, and one of them after it. */
async function sides(): Promise<{ readonly before: Holding; readonly after: Holding }> {
  const before = await enrolled(await begun(one), [two])
  return { before, after: await broken(before, [one, two]) }
}

/** What the node that knows of the break makes of bytes that it opens by its own member. */
async function judged(after: Holding, other: Keyring): Promise<OpenKeyring> {
  const keyring = decodeKeyring(encodeKeyring(other))
  return (await opened(after.keyring, one)).mergedWith(await opened(keyring, one))
}

describe('a side from before a break', () => {
  it('has no say: whatever it let in, removed or rotated', async () => {
    const { before, after } = await sides()
    const intruder = await enrolled(before, [fakeMember('intruder')])
    const seals = before.keyring.seals.map(seal => ({ ...seal, entryVersion: 9 }))
    const longer = rotated(rotated(rotated(before)))
    for (const side of [intruder, without(before, two), changed(before, { seals }), longer]) {
      const open = await judged(after, side.keyring)
      expect(open.keyring).toEqual(after.keyring)
      expect(open.current).toEqual(currentGeneration(after.keyring))
    }
  })

  it('has no say either if it is mine: I take the other one as it is', async () => {
    const { before, after } = await sides()
    const mine = await opened((await enrolled(rotated(before), [fakeMember('new')])).keyring, two)
    const merged = mine.mergedWith(await opened(after.keyring, two))
    expect(merged.keyring).toEqual(after.keyring)
    expect(merged.keyId).toBe(currentGeneration(after.keyring).keyId)
  })

  it('leaves me the blobs that I encrypted there, for as long as I am open', async () => {
    const { before, after } = await sides()
    const mine = await opened(rotated(before).keyring, two)
    const merged = mine.mergedWith(await opened(after.keyring, two))
    expect(merged.decryptBlob({ blob: encrypt(mine), aad })).toEqual(Uint8Array.of(1))
    expect(merged.keyIds).not.toContain(mine.keyId)
  })

  it('gives me its keys to decrypt with, and no more, if it is the other one: a root key may be under them', async () => {
    const { before, after } = await sides()
    const theirs = await opened(rotated(before).keyring, two)
    const mine = await opened(after.keyring, one)
    expect(codeNow(() => mine.decryptBlob({ blob: encrypt(theirs), aad }))).toBe('KEYRING_KEY_UNKNOWN')
    const merged = mine.mergedWith(theirs)
    expect(merged.keyring).toEqual(after.keyring)
    expect(merged.keyIds).toEqual(mine.keyIds)
    expect(merged.keyId).toBe(mine.keyId)
    expect(merged.decryptBlob({ blob: encrypt(theirs), aad })).toEqual(Uint8Array.of(1))
    expect(merged.mergedWith(theirs)).toBe(merged)
  })

  it('gives me none of its keys any more once all from before the break is retired', async () => {
    const { before, after } = await sides()
    const theirs = await opened(rotated(before).keyring, two)
    const [first] = after.keyring.generations
    if (first === undefined) throw new Error('no first generation')
    const mine = await opened(retired(after, first).keyring, one)
    expect(mine.mergedWith(theirs)).toBe(mine)
    for (const blob of [encrypt(theirs), encrypt(await opened(before.keyring, two))]) {
      expect(codeNow(() => mine.decryptBlob({ blob, aad }))).toBe('KEYRING_KEY_UNKNOWN')
    }
  })

  it('gives me none either by the id of the generation after the break, signed once more, to go on from', async () => {
    const { before, after } = await sides()
    // Whoever has the key before the break lists its id again, with a signing key of their own, and goes on from there.
    const signer = sealKeyNamed('twin')
    const change = {
      signingKey: derivePublicSigningKey(signer),
      step: 'chained',
      state: 'pending',
      keyId: 'twin',
    } as const
    const twin = resigned(before.keyring, currentGeneration(after.keyring), { signer: key(), change })
    const withTwin = { ...before.keyring, generations: [...before.keyring.generations, twin] }
    const forged = await putOnTop({ keyring: withTwin }, two, { signer, parent: twin })
    const theirs = await opened(decodeKeyring(encodeKeyring(forged)), two)
    expect(theirs.current.parentId).toEqual(twin.id)
    const [first] = after.keyring.generations
    if (first === undefined) throw new Error('no first generation')
    const mine = await opened(retired(after, first).keyring, one)
    expect(mine.mergedWith(theirs)).toBe(mine)
  })

  it('cannot fill my memory with its keys: those that came first give way', async () => {
    const { before, after } = await sides()
    let mine = await opened(after.keyring, one)
    const blobs: Uint8Array[] = []
    for (let side = 0; side < 3; side += 1) {
      const theirs = await opened(withChain(before, 100).keyring, two)
      blobs.push(encrypt(theirs))
      mine = mine.mergedWith(theirs)
    }
    const codes = blobs.map(blob => codeNow(() => mine.decryptBlob({ blob, aad })))
    expect(codes).toEqual(['none', 'none', 'none'])
    const another = await opened(withChain(before, 200).keyring, two)
    mine = mine.mergedWith(another)
    expect(mine.decryptBlob({ blob: encrypt(another), aad })).toEqual(Uint8Array.of(1))
    const [oldest = new Uint8Array()] = blobs
    expect(codeNow(() => mine.decryptBlob({ blob: oldest, aad }))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('cannot hide a key by giving its key id to another one', async () => {
    const { before, after } = await sides()
    const theirs = await opened(rotated(before).keyring, two)
    const { keyring, sealKey } = addGeneration({ ...before, step: 'chained', keyId: theirs.keyId, ...surroundings })
    const id = keyring.generations[1]?.id ?? new Uint8Array()
    const evil = activateGeneration({ keyring, sealKeys: before.sealKeys.with(id, sealKey), id })
    const forged = await opened(evil, two)
    const mine = (await opened(after.keyring, one)).mergedWith(forged).mergedWith(theirs)
    for (const each of [theirs, forged]) {
      expect(mine.decryptBlob({ blob: encrypt(each), aad })).toEqual(Uint8Array.of(1))
    }
  })

  it('cannot hide the break by calling the generation after it retired', async () => {
    const { before, after } = await sides()
    const generations = after.keyring.generations.map(each => ({
      ...each,
      state: each.number === 1 ? ('active' as const) : ('retired' as const),
    }))
    const trick = changed({ ...after, sealKeys: before.sealKeys }, { generations, revision: 99 })
    const open = await opened(after.keyring, one)
    expect(open.mergedWith(trick.keyring)).toBe(open)
  })

  it('leads to what the other side says, made tidy', async () => {
    const { before, after } = await sides()
    const generations = after.keyring.generations.map(each => ({
      ...each,
      state: each.number === 1 ? ('retired' as const) : each.state,
    }))
    const untidy = changed(after, { generations })
    const mine = await opened(before.keyring, two)
    const { keyring } = mine.mergedWith(await opened(untidy.keyring, two))
    expect(keyring.generations).toEqual(generations)
    expect(recordsOf(keyring, one)).toEqual(['2'])
    expect(keyring.revision).toBe(after.keyring.revision + 1)
  })

  it('cannot drive my revision up', async () => {
    const { before, after } = await sides()
    const high = changed(before, { revision: Number.MAX_SAFE_INTEGER })
    const open = await opened(after.keyring, one)
    expect(open.mergedWith(high.keyring).keyring.revision).toBe(after.keyring.revision)
  })
})

describe('two breaks at once', () => {
  it('contradict each other, on both nodes', async () => {
    const before = await enrolled(await begun(one), [two])
    const [mine, theirs] = [await broken(before, [one, two]), await broken(before, [one, two])]
    const [here, there] = [await opened(mine.keyring, one), await opened(theirs.keyring, two)]
    expect(codeNow(() => here.mergedWith(there))).toBe('KEYRING_DIVERGED')
    expect(codeNow(() => there.mergedWith(here))).toBe('KEYRING_DIVERGED')
  })

  it('are not decided by the number of breaks or steps that follow', async () => {
    const { before, after } = await sides()
    const longer = rotated(await broken(await broken(before, [one]), [one]))
    const open = await opened(after.keyring, one)
    const theirs = await opened(longer.keyring, one)
    expect(codeNow(() => open.mergedWith(theirs))).toBe('KEYRING_DIVERGED')
  })

  it('are no way back either: states that together leave nothing after a break contradict each other', async () => {
    const { after } = await sides()
    const next = rotated(after)
    const inState = (state: GenerationState, number: number) =>
      next.keyring.generations.map(each => (each.number === number ? { ...each, state } : each))
    const mine = await opened(changed(next, { generations: inState('retired', 2) }).keyring, one)
    const theirs = await opened(changed(next, { generations: inState('retired', 3) }).keyring, one)
    expect(codeNow(() => mine.mergedWith(theirs))).toBe('KEYRING_DIVERGED')
    expect(codeNow(() => theirs.mergedWith(mine))).toBe('KEYRING_DIVERGED')
  })

  it('one after the other do not: the later one knows of the earlier', async () => {
    const { after } = await sides()
    const again = await broken(after, [one, two])
    const merged = (await opened(after.keyring, one)).mergedWith(await opened(again.keyring, one))
    expect(merged.keyring).toEqual(again.keyring)
  })
})

describe('whoever has the key from before a break, and signs once more', () => {
  /** The generation after the break under the forger's own signing key, and one of the forger's that follows it. */
  async function twin(after: Holding, step: 'chained' | 'broken'): Promise<Keyring> {
    const { keyring } = after
    const [, second] = keyring.generations
    if (second === undefined) throw new Error('no second generation')
    const forged = await putOnTop({ keyring }, one, { step })
    const { signingKey } = forged.generations.find(({ number }) => number === 3) ?? second
    const own = resigned(keyring, second, { signer: key(), change: { signingKey } })
    const withTwin: Keyring = {
      ...keyring,
      generations: keyring.generations.map(each => (each === second ? own : each)),
    }
    return putOnTop({ keyring: withTwin }, one, { step, signer: evilKey() })
  }

  it.each(['chained', 'broken'] as const)(
    'cannot make a twin of the generation after it, to go on from: %s',
    async step => {
      const { after } = await sides()
      const forged = await twin(after, step)
      expect(codeNow(() => decodeKeyring(encodeKeyring(forged)))).toBe('none')
      const theirs = await opened(forged, one)
      expect(theirs.current.number).toBe(3)
      const open = await opened(after.keyring, one)
      expect(codeNow(() => open.mergedWith(theirs))).toBe('KEYRING_DIVERGED')
      expect(codeNow(() => theirs.mergedWith(open))).toBe('KEYRING_DIVERGED')
    },
  )

  it('cannot begin the lineage anew under another id', async () => {
    const { keyring } = await begun(one)
    const [first] = keyring.generations.map(each =>
      resigned(keyring, each, { signer: key(), change: { id: Uint8Array.from(each.id).reverse(), keyId: 'anew' } }),
    )
    if (first === undefined) throw new Error('no generation')
    const anew = { keyring: { ...keyring, generations: [first], records: [] } }
    const forged = decodeKeyring(encodeKeyring(await putOnTop(anew, one, { signer: key() })))
    const open = await opened(keyring, one)
    const theirs = await opened(forged, one)
    expect(codeNow(() => open.mergedWith(theirs))).toBe('KEYRING_DIVERGED')
    expect(codeNow(() => theirs.mergedWith(open))).toBe('KEYRING_DIVERGED')
  })
})

describe('two generations that were given one key id', () => {
  const named = async (keyId: string) => {
    const holding = await begun(one)
    const { keyring } = addGeneration({ ...holding, step: 'chained', keyId, ...surroundings })
    return opened(keyring, one)
  }

  it('contradict each other: a blob could not tell which is meant', async () => {
    const [mine, theirs] = [await named('spring'), await named('spring')]
    expect(codeNow(() => mine.mergedWith(theirs))).toBe('KEYRING_DIVERGED')
    expect(codeNow(() => theirs.mergedWith(mine))).toBe('KEYRING_DIVERGED')
    const other = await named('summer')
    expect(codeNow(() => mine.mergedWith(other))).toBe('none')
  })

  it('are the first ones of two nodes that begin from one seal key with different key ids', async () => {
    const mine = await opened(await keyringOf(one, key(), 'k1'), one)
    const theirs = await opened(await keyringOf(two, key(), 'k2'), two)
    expect(codeNow(() => mine.mergedWith(theirs))).toBe('KEYRING_DIVERGED')
  })

  it('do not matter if one of them is given up', async () => {
    const before = await enrolled(await begun(one), [two])
    const after = await broken(before, [one, two])
    const { keyId } = currentGeneration(after.keyring)
    const { keyring } = addGeneration({ ...before, step: 'chained', keyId, ...surroundings })
    const open = await opened(after.keyring, one)
    expect(open.mergedWith(keyring)).toBe(open)
  })
})
