import { type Holding } from './add-generation.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { describeGeneration } from './generation.ts'
import { deriveClusterId } from './key-schedule.ts'
import { type Generation, type Keyring } from './keyring.ts'
import { compareGenerations, currentGeneration } from './lineage.ts'
import { matchSealKey } from './seal-keys.ts'
import { fakeMember, type FakeMember } from './testing/fake-member.ts'
import { evilGeneration, evilKey, evilRecord, putOnTop, resigned, withEvilMac } from './testing/forger.ts'
import {
  begun,
  broken,
  changed,
  codeNow,
  codeOf,
  enrolled,
  opened,
  rotated,
  sealKeyNamed,
  unwrap,
} from './testing/samples.ts'

const key = () => sealKeyNamed('k')

/** What a reader makes of the bytes of a keyring. */
function read(keyring: Keyring): string {
  return codeNow(() => decodeKeyring(encodeKeyring(keyring)))
}

/** The keyring with another version of the generation at this place in the list. */
function withGeneration(keyring: Keyring, index: number, change: Partial<Generation>): Keyring {
  const generations = keyring.generations.map((each, place) => (place === index ? { ...each, ...change } : each))
  return { ...keyring, generations: generations.sort(compareGenerations) }
}

/** Generations 1, 2 chained, 3 broken. */
async function genuine(member = fakeMember('a')): Promise<Keyring> {
  return (await broken(rotated(await begun(member)), [member])).keyring
}

/** The signature of the second generation, but for one bit. */
function flippedSignature({ generations: [, second] }: Keyring): { readonly signature: Uint8Array } {
  return { signature: Uint8Array.from(second?.signature ?? [], (byte, index) => (index === 40 ? byte ^ 4 : byte)) }
}

describe('a generation that somebody without a seal key puts into a genuine keyring', () => {
  it.each(['chained', 'broken'] as const)('is refused before the member is asked for its record: %s', async step => {
    const member = fakeMember('a')
    const forged = await putOnTop(await begun(member), member, { step })
    expect(await codeOf(async () => opened(decodeKeyring(encodeKeyring(forged)), member))).toBe(
      'KEYRING_LINEAGE_FORGED',
    )
    expect(member.unsealed).toEqual([])
  })

  it('would open if it were not for the signature: nothing else tells it from a genuine one', async () => {
    const member = fakeMember('a')
    const forged = await putOnTop(await begun(member), member, { step: 'broken' })
    const open = await opened(forged, member)
    expect(open.current.number).toBe(2)
    expect(open.isOriginProven).toBe(true)
  })

  it.each([
    ['without a signature', (): { readonly signature?: Uint8Array } => ({})],
    [
      'with that of another generation',
      ({ generations: [one] }: Keyring) => ({ signature: one?.signature ?? new Uint8Array() }),
    ],
    ['with a signature that has a bit flipped', flippedSignature],
  ])('is refused %s', async (_how, change) => {
    const { keyring } = rotated(await begun(fakeMember('a')))
    const { signature = new Uint8Array(64) } = change(keyring)
    expect(read(withGeneration(keyring, 1, { signature }))).toBe('KEYRING_LINEAGE_FORGED')
  })

  it('is refused with the signature of a generation that is not its parent', async () => {
    const member = fakeMember('a')
    const { keyring } = rotated(await begun(member))
    const { clusterId } = keyring
    const child = evilGeneration({ clusterId, generation: currentGeneration(keyring), sealKey: key() })
    const record = await evilRecord(keyring, member, { generationId: child.id })
    const forged = { ...keyring, generations: [...keyring.generations, child], records: [record] }
    expect(read(withEvilMac(forged))).toBe('KEYRING_LINEAGE_FORGED')
  })

  it('is accepted only with the signature that the key before it makes', async () => {
    const member = fakeMember('a')
    const leaked = await putOnTop(await begun(member), member, { signer: key() })
    expect(read(leaked)).toBe('none')
  })
})

describe('a genuine generation', () => {
  const evil = () => describeGeneration({ sealKey: evilKey(), keyId: undefined, step: 'chained', state: 'active' })
  const changes: readonly (readonly [string, (generation: Generation) => Partial<Generation>])[] = [
    ['step', ({ step }) => ({ step: step === 'broken' ? 'chained' : 'broken' })],
    ['key id', () => ({ keyId: 'other' })],
    ['signing key', () => ({ signingKey: evil().signingKey })],
  ]

  it.each(changes)('is refused with another %s', async (_what, change) => {
    // The last one: no record or link names its key id, so that nothing but the signature can tell.
    const keyring = await genuine()
    const [, , last] = keyring.generations
    expect(read(withGeneration(keyring, 2, last === undefined ? {} : change(last)))).toBe('KEYRING_LINEAGE_FORGED')
  })

  it('is refused with another id', async () => {
    const { keyring } = await begun(fakeMember('a'))
    const { id } = evil()
    const records = keyring.records.map(record => ({ ...record, generationId: id }))
    expect(read(withGeneration({ ...keyring, records }, 0, { id }))).toBe('KEYRING_LINEAGE_FORGED')
  })

  it('is refused under another parent, at whichever number', async () => {
    const keyring = await genuine()
    const [one, two] = keyring.generations
    expect(read(withGeneration(keyring, 2, { parentId: one?.id ?? new Uint8Array(), number: 2 }))).toBe(
      'KEYRING_LINEAGE_FORGED',
    )
    expect(read(withGeneration(keyring, 2, { parentId: two?.id ?? new Uint8Array(), number: 4 }))).toBe(
      'KEYRING_MALFORMED',
    )
  })

  it('is refused if two of them have swapped their signatures', async () => {
    const keyring = await genuine()
    const signatures = keyring.generations.map(({ signature }) => signature)
    const [, two = new Uint8Array(), three = new Uint8Array()] = signatures
    const swapped = withGeneration(withGeneration(keyring, 1, { signature: three }), 2, { signature: two })
    expect(read(swapped)).toBe('KEYRING_LINEAGE_FORGED')
  })

  it('may be in any state: that is not signed', async () => {
    const keyring = await genuine()
    expect(read(withGeneration(keyring, 1, { state: 'retired' }))).toBe('none')
  })
})

describe('a seal key that gives the id of a generation, but not its signing key', () => {
  /** Generation 2 as whoever has the key of 1 can describe it anew, under a signing key of their own. */
  async function twin(member: FakeMember): Promise<Holding> {
    const holding = await enrolled(rotated(await begun(fakeMember('a'))), [member])
    const { signingKey } = describeGeneration({
      sealKey: evilKey(),
      keyId: undefined,
      step: 'chained',
      state: 'active',
    })
    const generations = holding.keyring.generations.map(each =>
      each.number === 2 ? resigned(holding.keyring, each, { signer: key(), change: { signingKey } }) : each,
    )
    const { keyring, sealKeys } = changed(holding, { generations })
    return { keyring: decodeKeyring(encodeKeyring(keyring)), sealKeys }
  }

  it('is not its key: neither by a record nor by a link, nor plain', async () => {
    const newcomer = fakeMember('b')
    const { keyring, sealKeys } = await twin(newcomer)
    const sealKey = sealKeys.of(currentGeneration(keyring).id)
    expect(await codeOf(() => unwrap(keyring, newcomer))).toBe('KEYRING_RECORD_AUTH_FAILED')
    expect(await codeOf(() => unwrap(keyring, fakeMember('a')))).toBe('KEYRING_LINK_BROKEN')
    expect(codeNow(() => matchSealKey({ keyring, sealKey }))).toBe('KEYRING_OTHER_KEY')
  })
})

describe('the first generation', () => {
  it('is refused in a cluster that is not its own', async () => {
    const { keyring } = await begun(fakeMember('a'))
    const { keyring: other } = await begun(fakeMember('a'), 'other')
    expect(read({ ...other, clusterId: keyring.clusterId })).toBe('KEYRING_LINEAGE_FORGED')
  })

  it('is refused in a cluster that is not its own, though it is signed for that one', async () => {
    const { keyring } = await begun(fakeMember('a'))
    const { keyring: other } = await begun(fakeMember('a'), 'evil')
    const { clusterId } = keyring
    const generations = other.generations.map(each =>
      resigned({ ...other, clusterId }, each, { signer: evilKey(), change: {} }),
    )
    expect(read({ ...other, clusterId, generations })).toBe('KEYRING_LINEAGE_FORGED')
  })

  it('is refused if it gives the cluster id, but was not signed by its own key', async () => {
    const { keyring } = await begun(fakeMember('a'))
    expect(read(withGeneration(keyring, 0, { keyId: 'other' }))).toBe('KEYRING_LINEAGE_FORGED')
  })

  it('gives every seal key a cluster of its own: such a keyring is genuine in itself', async () => {
    const member = fakeMember('a')
    const { keyring } = await begun(member, 'evil')
    const [first] = keyring.generations
    expect(read(keyring)).toBe('none')
    expect(keyring.clusterId).toEqual(deriveClusterId(first?.signingKey ?? new Uint8Array()))
    expect(keyring.clusterId).not.toEqual((await begun(member)).keyring.clusterId)
  })
})

describe('the ids of a lineage', () => {
  const zeros = new Uint8Array(16)

  it('are never zero: such a generation would be its own parent, and reading it would not end', async () => {
    const { keyring } = rotated(await begun(fakeMember('a')))
    const [link] = keyring.links
    const [first, second] = keyring.generations
    if (link === undefined || first === undefined || second === undefined) throw new Error('no second generation')
    const lone = { generations: [{ ...first, id: zeros }], records: [], links: [{ ...link, toId: zeros }] }
    expect(codeNow(() => encodeKeyring({ ...keyring, ...lone }))).toBe('KEYRING_MALFORMED')
    const loop = { generations: [first, { ...second, id: zeros }], links: [{ ...link, toId: first.id }] }
    expect(codeNow(() => encodeKeyring({ ...keyring, ...loop, records: [] }))).toBe('KEYRING_MALFORMED')
  })

  it('are listed once, after the parent, and begin with one first generation', async () => {
    const { keyring } = rotated(await begun(fakeMember('a')))
    const [first, second] = keyring.generations
    if (first === undefined || second === undefined) throw new Error('no second generation')
    const lists: readonly (readonly Generation[])[] = [
      [],
      [second],
      [second, first],
      [first, first],
      [first, { ...first, id: second.id, keyId: 'other' }],
      [first, { ...second, number: 3 }],
      [first, { ...second, parentId: second.id }],
      [first, { ...second, parentId: zeros }],
      [first, { ...second, keyId: first.keyId }],
      [{ ...first, parentId: second.id }, second],
      [{ ...first, step: 'broken' }, second],
      [first, second].map(generation => ({ ...generation, state: 'pending' })),
      [{ ...first, number: 2, parentId: zeros }],
    ]
    for (const generations of lists) {
      expect(codeNow(() => encodeKeyring({ ...keyring, generations }))).toBe('KEYRING_MALFORMED')
    }
  })
})
