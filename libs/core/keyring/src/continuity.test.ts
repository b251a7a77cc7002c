import { randomBytes } from 'node:crypto'

import fc from 'fast-check'

import { decodeKeyring, encodeContents, encodeKeyring } from './codec.ts'
import { deriveMacKey } from './key-schedule.ts'
import { authenticate } from './authenticate.ts'
import { type Keyring, type Link } from './keyring.ts'
import { type LinkKind } from './chain.ts'
import { makeLink } from './link.ts'
import { openKeyring } from './open-keyring.ts'
import { matchSealKey, type SealKeys, unwrapSealKeys } from './seal-keys.ts'
import { fakeMember, type FakeMember } from './testing/fake-member.ts'
import { forgeGeneration, forgeMac, forgeRecord, putOnTop } from './testing/forger.ts'
import {
  broken,
  codeNow,
  codeOf,
  handingOut,
  keyringOf,
  recordFor,
  rotated,
  type Sample,
  sealIdOf,
  sealKeyNamed,
  signal,
  withRecord,
} from './testing/samples.ts'

const LINK_KINDS = ['wrapped-key', 'endorsement'] as const
const key = () => sealKeyNamed('k')
const evil = () => sealKeyNamed('evil')

async function first(member: FakeMember): Promise<Sample> {
  return { keyring: await keyringOf(member, key()), sealKey: key() }
}

function unwrap(keyring: Keyring, member: FakeMember): Promise<SealKeys> {
  return unwrapSealKeys({ keyring, sealId: sealIdOf(keyring), member, signal })
}

describe('a chain that was broken on purpose', () => {
  it('opens with two records, one unsealing for each part, and decrypts the blobs of both', async () => {
    const member = fakeMember('a')
    const before = await first(member)
    const { keyring } = await broken(before, [member])
    const opener = fakeMember('a')
    const open = await openKeyring({ keyring, sealId: sealIdOf(keyring), member: opener, signal })
    expect(open.keyIds).toEqual(keyring.generations.map(({ keyId }) => keyId))
    expect(opener.unsealCount()).toBe(2)
    const old = await openKeyring({ keyring: before.keyring, sealId: sealIdOf(keyring), member, signal })
    const blob = old.encryptBlob({ plaintext: Uint8Array.of(1), aad: new Uint8Array(), randomBytes })
    expect(open.decryptBlob({ blob, aad: new Uint8Array() })).toEqual(Uint8Array.of(1))
  })

  it('leaves out who has no new record, without asking', async () => {
    const [member, leftBehind] = [fakeMember('a'), fakeMember('b')]
    const { keyring: one, sealKey } = await first(member)
    const both = await withRecord(one, sealKey, { ...recordFor(leftBehind), generation: 1 })
    const { keyring } = await broken({ keyring: both, sealKey }, [member])
    expect(await codeOf(() => unwrap(keyring, leftBehind))).toBe('KEYRING_LINK_BROKEN')
    expect(leftBehind.unsealCount()).toBe(0)
    expect(codeNow(() => matchSealKey({ keyring, sealKey: key() }))).toBe('KEYRING_LINK_BROKEN')
  })

  it('goes on by wrapped keys, and may be broken again', async () => {
    const member = fakeMember('a')
    const { keyring } = await broken(rotated(await broken(await first(member), [member])), [member])
    expect((await unwrap(keyring, member)).generations).toEqual([1, 2, 3, 4])
    expect(member.unsealCount()).toBe(3)
  })

  it('is not crossed before the new generation is current', async () => {
    const member = fakeMember('a')
    const { keyring, sealKey } = await handingOut(await first(member), [member])
    expect(keyring.currentGeneration).toBe(1)
    expect((await unwrap(keyring, member)).generations).toEqual([1])
    expect(member.unsealCount()).toBe(1)
    expect(codeNow(() => matchSealKey({ keyring, sealKey }))).toBe('KEYRING_LINK_BROKEN')
  })

  it('is refused with any single bit of its endorsement flipped', async () => {
    const member = fakeMember('a')
    const { keyring } = await broken(await first(member), [member])
    const [link] = keyring.links
    if (link === undefined) throw new Error('no link')
    const bytes = encodeKeyring(keyring)
    const start = Buffer.from(bytes).indexOf(link.wrappedKey)
    for (let bit = 0; bit < link.wrappedKey.byteLength * 8; bit += 1) {
      const changed = Uint8Array.from(bytes)
      const offset = start + Math.floor(bit / 8)
      changed[offset] = (changed[offset] ?? 0) ^ (1 << (bit % 8))
      expect(await codeOf(() => unwrap(decodeKeyring(changed), member))).toMatch(
        /^KEYRING_(MALFORMED|UNSUPPORTED|TOO_LARGE|LINK_BROKEN)$/,
      )
    }
  })
})

describe('a generation put on top of a genuine keyring by somebody without a seal key', () => {
  it.each(LINK_KINDS)('is refused before the member is asked for its record: %s', async link => {
    const member = fakeMember('a')
    const forged = await putOnTop((await first(member)).keyring, { member, sealKey: evil(), link })
    expect(await codeOf(() => unwrap(decodeKeyring(encodeKeyring(forged)), member))).toBe('KEYRING_LINK_BROKEN')
    expect(member.unsealCount()).toBe(1)
    expect(codeNow(() => matchSealKey({ keyring: forged, sealKey: key() }))).toBe('KEYRING_LINK_BROKEN')
  })

  it('is no keyring without a link', async () => {
    const member = fakeMember('a')
    const { keyring } = await first(member)
    const forged = await putOnTop(keyring, { member, sealKey: evil(), link: 'endorsement' })
    expect(codeNow(() => encodeContents({ ...forged, links: [] }))).toBe('KEYRING_MALFORMED')
  })

  it('does not open beside a genuine key when a generation that nobody can check is between the two', async () => {
    const member = fakeMember('a')
    const { keyring } = await handingOut(await first(member), [])
    const forged = await putOnTop(keyring, { member, sealKey: evil(), link: 'wrapped-key' })
    // The genuine record is not even tried: no key that it gives could vouch for generation 3.
    expect((await unwrap(forged, member)).generations).toEqual([3])
    const endorsed = await putOnTop(keyring, { member, sealKey: evil(), link: 'endorsement' })
    expect((await unwrap(endorsed, member)).generations).toEqual([3])
  })
})

describe('a keyring whose generation 1 is not the first of its cluster', () => {
  it('is refused', async () => {
    const { keyring } = await first(fakeMember('a'))
    const clusterId = Uint8Array.from(keyring.clusterId).reverse()
    const moved = authenticate({ ...keyring, clusterId }, deriveMacKey(key(), clusterId))
    expect(codeNow(() => matchSealKey({ keyring: moved, sealKey: key() }))).toBe('KEYRING_AUTH_FAILED')
  })

  it('is refused when its record opens', async () => {
    const member = fakeMember('a')
    const { keyring } = await first(member)
    const forger = { member, sealKey: evil() }
    const contents = {
      ...keyring,
      generations: [forgeGeneration(1, forger)],
      records: [await forgeRecord(keyring, forger, 1)],
    }
    expect(await codeOf(() => unwrap(forgeMac(contents, forger), member))).toBe('KEYRING_AUTH_FAILED')
  })
})

describe('any keyring that a forger puts together', () => {
  /** Four generations, records of each; the chain is broken on purpose before each generation that is named. */
  async function genuineOf(member: FakeMember, brokenBefore: readonly number[]): Promise<Keyring> {
    let sample = await first(member)
    for (const number of [2, 3, 4]) {
      if (brokenBefore.includes(number)) {
        sample = await broken(sample, [member])
      } else {
        const { keyring, sealKey } = rotated(sample)
        sample = { keyring: await withRecord(keyring, sealKey, { ...recordFor(member), generation: number }), sealKey }
      }
    }
    return sample.keyring
  }

  /** How a forger makes the link to, or from, their own generation. */
  function forgeLink(choice: LinkKind | 'moved', ends: Parameters<typeof makeLink>[0]['ends'], other?: Link): Link {
    if (choice === 'moved' && other !== undefined) return { from: ends.from.number, wrappedKey: other.wrappedKey }
    const kind = choice === 'endorsement' ? 'endorsement' : 'wrapped-key'
    return makeLink({ kind, nextSealKey: evil(), sealKey: evil(), ends, randomBytes })
  }

  it('never opens with a genuine key and a key of theirs side by side', async () => {
    const member = fakeMember('a')
    const forger = { member, sealKey: evil() }
    const histories = await Promise.all([[], [3], [2, 4], [2, 3, 4]].map(choice => genuineOf(member, choice)))
    const codes = new Set<string>()
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...histories),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom('above', 'below'),
        fc.constantFrom(...LINK_KINDS, 'moved' as const),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 1, max: 4 })),
        async (genuine, a, b, side, choice, current, droppedRecords) => {
          const [lowest, highest] = [Math.min(a, b), Math.max(a, b)]
          const number = side === 'above' ? highest + 1 : lowest - 1
          if (number === 0) return
          const own = forgeGeneration(number, forger)
          const kept = genuine.generations.filter(one => one.number >= lowest && one.number <= highest)
          const generations = [...kept, own].sort((one, two) => one.number - two.number)
          const [from, to] = side === 'above' ? [kept.at(-1), own] : [own, kept[0]]
          if (from === undefined || to === undefined) throw new Error('nothing kept')
          const ends = { clusterId: genuine.clusterId, from, to }
          const links = [
            ...genuine.links.filter(link => link.from >= lowest && link.from < highest),
            forgeLink(choice, ends, genuine.links[0]),
          ].sort((one, two) => one.from - two.from)
          const records = [
            ...genuine.records.filter(
              record =>
                record.generation >= lowest &&
                record.generation <= highest &&
                !droppedRecords.includes(record.generation),
            ),
            await forgeRecord(genuine, forger, number),
          ].sort((one, two) => one.generation - two.generation)
          const change = { revision: 99, currentGeneration: current, generations, records, links }
          let sealKeys: SealKeys | undefined
          codes.add(
            await codeOf(async () => {
              sealKeys = await unwrap(decodeKeyring(encodeKeyring(forgeMac({ ...genuine, ...change }, forger))), member)
            }),
          )
          if (sealKeys !== undefined) expect(sealKeys.generations).toEqual([number])
        },
      ),
      { numRuns: 1_000 },
    )
    expect([...codes].sort()).toEqual([
      'KEYRING_AUTH_FAILED',
      'KEYRING_LINK_BROKEN',
      'KEYRING_MALFORMED',
      'KEYRING_NO_WAY_IN',
      'none',
    ])
  })
})
