import { randomBytes } from 'node:crypto'
import {
  activateGeneration,
  addGeneration,
  createKeyring,
  findRecords,
  type Keyring,
  matchSealKey,
  type RecordInput,
  removeMember,
  retireGeneration,
  type SealKeys,
} from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { createShareSet, type Share } from '@sealwright/shamir'
import { type NamedSet, proveByShares, withShareSet, withSharesOf } from './share-set.ts'

const { signal } = new AbortController()
const surroundings = { now: Date.now, randomBytes, signal }

/** A transit key, which seals whatever it is given. */
const device: RecordInput = {
  ...{ sealName: 'backup', method: 'transit', label: 'device' },
  member: { sealType: 'transit', memberId: randomBytes(16), sealKek: () => Promise.resolve(randomBytes(60)) },
}

interface Holding {
  readonly keyring: Keyring
  readonly sealKeys: SealKeys
}

async function begun(): Promise<Holding> {
  const sealKey = new Secret(randomBytes(32))
  const keyring = await createKeyring({ ...device, ...surroundings, sealKey })
  return { keyring, sealKeys: matchSealKey({ keyring, sealKey }) }
}

function rotated({ keyring, sealKeys }: Holding): Holding {
  const { generation, sealKey, ...added } = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
  const held = sealKeys.with(generation.id, sealKey)
  return { keyring: activateGeneration({ keyring: added.keyring, sealKeys: held, id: generation.id }), sealKeys: held }
}

function newSet({ keyring: { clusterId } }: Holding): { readonly set: NamedSet; readonly shares: readonly Share[] } {
  const { shares, ...set } = createShareSet({ clusterId, threshold: 2, shares: 3, randomBytes })
  return { shares, set: { ...set, sealName: 'people', label: 'board' } }
}

/** With a set, and its shares. */
async function shared(holding: Holding) {
  const { set, shares } = newSet(holding)
  const keyring = await withShareSet({ ...surroundings, ...holding }, set)
  return {
    holding: { ...holding, keyring },
    set,
    shares,
    named: { sealName: 'people', memberId: set.memberId, shares },
  }
}

/** The numbers of the generations that a member has records of. */
function recordsOf({ keyring }: Holding, memberId: Uint8Array): readonly number[] {
  return keyring.members
    .filter(member => Buffer.compare(member.memberId, memberId) === 0)
    .flatMap(member => findRecords(keyring, member))
    .map(
      ({ generationId }) => keyring.generations.find(({ id }) => Buffer.compare(id, generationId) === 0)?.number ?? 0,
    )
}

describe('a set of shares', () => {
  it('gets a record of each root, and opens the keyring by them', async () => {
    const { holding, set, named } = await shared(rotated(await begun()))
    expect(recordsOf(holding, set.memberId)).toEqual([1])
    await proveByShares(holding.keyring, named, signal)
  })

  it('leaves the shares as they were', async () => {
    const { holding, shares, named } = await shared(await begun())
    const copies = shares.map(({ value }) => value.clone())
    await proveByShares(holding.keyring, named, signal)
    expect(shares.map(({ value }, index) => copies[index]?.equals(value))).toEqual([true, true, true])
  })

  it('is not proven by shares of another set, nor in a keyring that does not know it', async () => {
    const first = await begun()
    const { holding, named } = await shared(first)
    const { shares } = newSet(holding)
    await expect(proveByShares(holding.keyring, { ...named, shares }, signal)).rejects.toMatchObject({
      code: 'SHAMIR_OTHER_SET',
    })
    await expect(proveByShares(first.keyring, named, signal)).rejects.toMatchObject({ code: 'KEYRING_NO_RECORD' })
  })

  it('gets a record of a new generation, by which it still opens once the older one is retired', async () => {
    const { holding, set, named } = await shared(await begun())
    const next = rotated(holding)
    const [first, second] = next.keyring.generations
    if (first === undefined || second === undefined) throw new Error('no generation')
    const keyring = await withSharesOf({ ...surroundings, ...next }, second)
    expect([...recordsOf({ ...next, keyring }, set.memberId)].sort()).toEqual([1, 2])
    const retired = retireGeneration({ ...next, keyring, id: first.id })
    expect(recordsOf({ ...next, keyring: retired }, set.memberId)).toEqual([2])
    await proveByShares(retired, named, signal)
  })

  it('that was removed gets nothing, and does not bring its seal back', async () => {
    const { holding, set } = await shared(await begun())
    const place = holding.keyring.members.find(({ memberId }) => Buffer.compare(memberId, set.memberId) === 0)
    if (place === undefined) throw new Error('no member')
    const next = rotated({ ...holding, keyring: removeMember({ ...holding, place }) })
    const [, second] = next.keyring.generations
    if (second === undefined) throw new Error('no generation')
    expect(await withSharesOf({ ...surroundings, ...next }, second)).toBe(next.keyring)
  })
})
