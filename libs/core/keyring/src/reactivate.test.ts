import { retireGeneration, type Holding } from './add-generation.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { type Generation, type Keyring, type KeyringRecord, type Seal } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { openKmsKeyring } from './open-kms-keyring.ts'
import { reactivateGenerations, retiredSince } from './reactivate.ts'
import { matchSealKey, SealKeys, unwrapSealKeys } from './seal-keys.ts'
import { isSameStatement } from './same-entry.ts'
import { fakeMember, type FakeMember } from './testing/fake-member.ts'
import { withMembers, withRecordsOf } from './testing/flood.ts'
import { evilRecord, resigned } from './testing/forger.ts'
import { begunForKms, brokenForKms, rotatedForKms, statesOf } from './testing/kms-samples.ts'
import {
  begun,
  changed,
  codeNow,
  codeOf,
  enrolled,
  opened,
  recordFor,
  recordsOf,
  retired,
  rotated,
  rotatedAtOnce,
  sealIdOf,
  sealKeyNamed,
  signal,
  without,
  withRecord,
} from './testing/samples.ts'
import { compareRecords } from './validate.ts'

const [one, two, three] = [fakeMember('node-1'), fakeMember('node-2'), fakeMember('node-3')]

function versionOf({ keyring }: Pick<Holding, 'keyring'>, number: number): Generation {
  const generation = keyring.generations.find(each => each.number === number)
  if (generation === undefined) throw new Error(`no version ${number}`)
  return generation
}

/** Retires these versions, and then gives each member a record of the current one: nothing is left that leads to them. */
async function given(holding: Holding, numbers: readonly number[], members: readonly FakeMember[]): Promise<Holding> {
  const held = numbers.reduce((next, number) => retired(next, versionOf(next, number)), holding)
  return enrolled(held, members)
}

const back = ({ keyring, sealKeys }: Holding, former: Keyring): Holding => ({
  keyring: decodeKeyring(encodeKeyring(reactivateGenerations({ keyring, sealKeys, former }))),
  sealKeys,
})

/** The versions that a member has the keys of. */
async function versionsOf({ keyring }: Pick<Holding, 'keyring'>, member: FakeMember): Promise<readonly number[]> {
  const open = await openKmsKeyring({ keyring, sealId: sealIdOf(keyring), member, signal })
  return open.generations.filter(({ key }) => key !== undefined).map(({ number }) => number)
}

/** Two members that hold two versions, and how it was before the first one was retired. */
async function lost(): Promise<{ readonly before: Holding; readonly after: Holding }> {
  const before = rotatedForKms(await enrolled(await begunForKms(one), [two]))
  return { before, after: await given(before, [1], [one, two]) }
}

describe('taking a retirement back', () => {
  it('makes the version active again for each member that had it, in the next revision', async () => {
    const { before, after } = await lost()
    expect([after.keyring.links.length, await versionsOf(after, one), await versionsOf(after, two)]).toEqual([
      0,
      [2],
      [2],
    ])
    const { keyring } = back(after, before.keyring)
    expect([keyring.revision, statesOf(keyring)]).toEqual([after.keyring.revision + 1, ['active', 'active']])
    expect(keyring.links).toEqual(before.keyring.links)
    for (const member of [one, two]) {
      expect(await versionsOf({ keyring }, member)).toEqual([1, 2])
      expect(recordsOf(keyring, member)).toEqual(['1', '2'])
    }
    expect([keyring.seals, keyring.members]).toEqual([after.keyring.seals, after.keyring.members])
  })

  it('leaves what came since: later versions, which stay retired if they are, and members', async () => {
    const { before, after } = await lost()
    const later = await given(rotatedForKms(rotatedForKms(after)), [2, 3], [one, two, three])
    const { keyring } = back(later, before.keyring)
    expect(statesOf(keyring)).toEqual(['active', 'active', 'retired', 'active'])
    expect(await versionsOf({ keyring }, one)).toEqual([1, 2, 4])
    expect(await versionsOf({ keyring }, three)).toEqual([4])
    for (const list of ['records', 'links', 'members', 'seals'] as const) {
      expect(keyring[list]).toEqual(expect.arrayContaining([...later.keyring[list]]))
    }
    expect(currentGeneration(keyring)).toEqual(currentGeneration(later.keyring))
  })

  it('brings the whole way along a chain, from a record of what stays retired if a member had no other', async () => {
    // The second member was away: all that it had was a record of version 1, and links.
    const chain = rotatedForKms(rotatedForKms(await enrolled(await begunForKms(one), [two])))
    const before = await given(chain, [1], [one])
    expect([recordsOf(before.keyring, one), recordsOf(before.keyring, two)]).toEqual([['3', '1'].sort(), ['1']])
    const after = await given(before, [2], [one, two])
    expect([recordsOf(after.keyring, two), after.keyring.links.length]).toEqual([['3'], 0])
    const { keyring } = back(after, before.keyring)
    expect(statesOf(keyring)).toEqual(['retired', 'active', 'active'])
    expect(await versionsOf({ keyring }, two)).toEqual([2, 3])
    expect(await versionsOf({ keyring }, one)).toEqual([2, 3])
  })

  it('brings nothing that a member can do without', async () => {
    const chain = rotatedForKms(rotatedForKms(await begunForKms(one)))
    const before = await enrolled(await enrolled(chain, [one], versionOf(chain, 2).id), [one])
    const half = retired(before, versionOf(before, 1))
    const after = retired(half, versionOf(half, 2))
    const { keyring } = back(after, half.keyring)
    expect([recordsOf(keyring, one), keyring.links]).toEqual([['2', '3'], half.keyring.links])
  })

  it('brings no link that only a member which was removed needed', async () => {
    const chain = rotatedForKms(rotatedForKms(await enrolled(await begunForKms(one), [two])))
    const before = await given(await enrolled(chain, [one], versionOf(chain, 2).id), [1], [])
    expect([recordsOf(before.keyring, one), recordsOf(before.keyring, two)]).toEqual([['2'], ['1']])
    expect(before.keyring.links).toHaveLength(2)
    const after = await given(without(before, two), [2], [one])
    const { keyring } = back(after, before.keyring)
    expect([after.keyring.links, statesOf(keyring)]).toEqual([[], ['retired', 'active', 'active']])
    expect(keyring.links.map(({ toId }) => toId)).toEqual([versionOf(after, 3).id])
  })

  it('keeps a link that is there, though nobody needs it', async () => {
    const chain = rotatedForKms(rotatedForKms(await enrolled(await begunForKms(one), [two])))
    const before = await given(await enrolled(chain, [one], versionOf(chain, 2).id), [1], [])
    // Whoever removed the member did not tidy up.
    const after = without(await given(before, [2], [one]), two)
    expect(after.keyring.links).toHaveLength(2)
    expect(back(after, before.keyring).keyring.links).toEqual(after.keyring.links)
  })

  it('leaves a generation alone that is none of the versions: two nodes have rotated at once', async () => {
    const before = rotatedAtOnce(await begunForKms(one), rotatedForKms)
    const current = currentGeneration(before.keyring)
    const other = before.keyring.generations.find(each => each.number === 2 && each !== current)
    if (other === undefined) throw new Error('no second one')
    const after = retired(before, other)
    expect(after.keyring.generations.filter(({ state }) => state === 'retired')).toHaveLength(1)
    expect(reactivateGenerations({ ...after, former: before.keyring })).toBe(after.keyring)
  })

  it('brings a member that was let in again only what leads to the version', async () => {
    const chain = rotatedForKms(rotatedForKms(await enrolled(await begunForKms(one), [two])))
    const before = await enrolled(chain, [two], versionOf(chain, 2).id)
    const after = await enrolled(without(await given(before, [1], [one]), two), [two])
    const { keyring } = back(after, before.keyring)
    expect([recordsOf(before.keyring, two), recordsOf(after.keyring, two), recordsOf(keyring, two)]).toEqual([
      ['1', '2'],
      ['3'],
      ['1', '3'],
    ])
  })

  it('makes the next revision, also where the other keyring has a higher one', async () => {
    const { before, after } = await lost()
    const former = changed(before, { revision: after.keyring.revision + 100 }).keyring
    expect(back(after, former).keyring.revision).toBe(after.keyring.revision + 1)
  })

  it('goes beyond a break of the chain, and gives the key from before it no say', async () => {
    const { before } = await lost()
    const broken = await brokenForKms(before, [one])
    const after = await given(broken, [1, 2], [])
    const { keyring } = back(after, before.keyring)
    expect(statesOf(keyring)).toEqual(['active', 'active', 'active'])
    expect(currentGeneration(keyring).number).toBe(3)
    expect(await versionsOf({ keyring }, one)).toEqual([1, 2, 3])
    expect(keyring.links.map(({ toId }) => toId)).toEqual([versionOf(before, 2).id])
  })

  it('leaves nothing of a member or a seal that was removed meanwhile', async () => {
    const seal = recordFor(fakeMember('t', 'transit'), { sealName: 'peer', method: 'transit' })
    const first = await withRecord(await enrolled(await begunForKms(one), [two, three]), seal)
    const before = rotatedForKms(first)
    const held = await given(before, [1], [one, three])
    const seals = held.keyring.seals.map((each): Seal => (each.name === 'peer' ? { ...each, state: 'removed' } : each))
    const isOfSeal = ({ sealId }: KeyringRecord) => sealId.join() === sealIdOf(held.keyring, 'peer').join()
    const records = held.keyring.records.filter(each => !isOfSeal(each))
    const after = without(changed(held, { seals, records }), two)
    const { keyring } = back(after, before.keyring)
    expect([recordsOf(keyring, one), recordsOf(keyring, two), recordsOf(keyring, three)]).toEqual([
      ['1', '2'],
      [],
      ['1', '2'],
    ])
    expect(keyring.records).toHaveLength(4)
    expect([keyring.seals, keyring.members]).toEqual([after.keyring.seals, after.keyring.members])
  })

  it('keeps a record that is in the place of a former one', async () => {
    const { before, after } = await lost()
    const [former] = before.keyring.records
    if (former === undefined) throw new Error('no record')
    const other = { ...(await evilRecord(before.keyring, one, former)), memberId: former.memberId, entryVersion: 7 }
    const records = [...after.keyring.records.filter(each => each.memberId.join() !== former.memberId.join()), other]
    const holding = changed(after, { records: records.sort(compareRecords) })
    expect(back(holding, before.keyring).keyring.records).toContainEqual(other)
  })

  it('gives the keyring back that was given in where nothing comes back, a second time as well', async () => {
    const { before, after } = await lost()
    for (const [{ keyring }, former] of [
      [after, after.keyring],
      [before, after.keyring],
      [before, before.keyring],
      [back(after, before.keyring), before.keyring],
    ] as const) {
      expect(retiredSince({ keyring, former })).toEqual([])
      expect(reactivateGenerations({ keyring, former, sealKeys: after.sealKeys })).toBe(keyring)
    }
    expect(retiredSince({ keyring: after.keyring, former: before.keyring })).toEqual([versionOf(after, 1)])
  })

  it('is undone by a merge that does not know of it', async () => {
    const { before, after } = await lost()
    const again = back(after, before.keyring)
    const merged = (await opened(again.keyring, one)).mergedWith(await opened(after.keyring, one))
    expect(statesOf(merged.keyring)).toEqual(['retired', 'active'])
    expect(merged.keyring.records).toEqual(after.keyring.records)
  })

  it('can be retired again, and that be taken back', async () => {
    const { before, after } = await lost()
    const again = back(after, before.keyring)
    const spent = { ...again, keyring: retireGeneration({ ...again, id: versionOf(again, 1).id }) }
    expect([spent.keyring.records, spent.keyring.links]).toEqual([after.keyring.records, []])
    expect(await versionsOf(back(spent, again.keyring), two)).toEqual([1, 2])
  })
})

describe('an earlier keyring', () => {
  it('is refused with any bit flipped', async () => {
    const { before, after } = await lost()
    const bytes = encodeKeyring(before.keyring)
    const codes = new Set<string>()
    for (let bit = 0; bit < bytes.length * 8; bit += 3) {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const code = codeNow(() => reactivateGenerations({ ...after, former: decodeKeyring(flipped) }))
      expect(code).not.toBe('none')
      codes.add(code)
    }
    expect([...codes]).toEqual(expect.arrayContaining(['KEYRING_AUTH_FAILED', 'KEYRING_RECORD_DAMAGED']))
  })

  it('is refused if it was changed, as the keyring itself is, also where nothing would come back', async () => {
    const { before, after } = await lost()
    const former = { ...before.keyring, revision: 99 }
    expect(codeNow(() => reactivateGenerations({ ...after, former }))).toBe('KEYRING_AUTH_FAILED')
    expect(codeNow(() => reactivateGenerations({ ...before, former }))).toBe('KEYRING_AUTH_FAILED')
    const keyring = { ...after.keyring, revision: 99 }
    expect(codeNow(() => reactivateGenerations({ ...after, keyring, former: before.keyring }))).toBe(
      'KEYRING_AUTH_FAILED',
    )
  })

  it('is refused if a record in it was damaged, whoever made its MAC', async () => {
    const { before, after } = await lost()
    const records = before.keyring.records.map(each => ({ ...each, sealedKek: Uint8Array.of(1) }))
    expect(codeNow(() => reactivateGenerations({ ...after, former: { ...before.keyring, records } }))).toBe(
      'KEYRING_RECORD_DAMAGED',
    )
  })

  it('that has a record of somebody else brings it, and all others still open', async () => {
    const { before, after } = await lost()
    const records = await Promise.all(
      before.keyring.records.map(async record =>
        record.memberId.join() === one.memberId.join() ? await evilRecord(before.keyring, one, record) : record,
      ),
    )
    const { keyring } = back(after, changed(before, { records }).keyring)
    expect(await versionsOf({ keyring }, two)).toEqual([1, 2])
    // It comes first, and what works is behind it: so a node goes on where no PIN can have been counted.
    expect(await codeOf(() => versionsOf({ keyring }, one))).toBe('KEYRING_RECORD_AUTH_FAILED')
    const sealId = sealIdOf(keyring)
    using keys = await unwrapSealKeys({ keyring, sealId, member: one, signal, mayGoOn: () => true })
    expect(keys.has(currentGeneration(keyring).id)).toBe(true)
  })

  it('that says something else of a version brings back neither that one, nor records and links of it', async () => {
    const before = await enrolled(rotatedForKms(rotatedForKms(await begunForKms(one))), [one])
    const second = versionOf(before, 2)
    const after = await given(await enrolled(before, [one], second.id), [1, 2], [])
    const change = { keyId: `kms-${'0'.repeat(16)}-1` }
    const other = resigned(before.keyring, second, { signer: sealKeyNamed('k'), change })
    expect([isSameStatement(second, other), isSameStatement(second, { ...second, state: 'retired' })]).toEqual([
      false,
      true,
    ])
    const generations = before.keyring.generations.map(each => (each === second ? other : each))
    const links = before.keyring.links.filter(({ toId }) => toId.join() === second.id.join())
    const withTheirs = await enrolled(changed(before, { generations, links }), [one], second.id)
    const { keyring } = back(after, decodeKeyring(encodeKeyring(withTheirs.keyring)))
    expect([statesOf(keyring), recordsOf(keyring, one), keyring.links]).toEqual([
      ['active', 'retired', 'active'],
      ['1', '3'],
      [],
    ])
    expect(await versionsOf({ keyring }, one)).toEqual([1, 3])
  })

  it('of another cluster is refused', async () => {
    const { after } = await lost()
    const elsewhere = await begunForKms(one, 'other')
    const input = { ...after, former: elsewhere.keyring }
    expect(codeNow(() => reactivateGenerations(input))).toBe('KEYRING_OTHER_CLUSTER')
    expect(codeNow(() => retiredSince(input))).toBe('KEYRING_OTHER_CLUSTER')
  })

  it('needs its current key to be held, and so does each version that comes back', async () => {
    const { before, after } = await lost()
    const current = currentGeneration(after.keyring)
    const only = new SealKeys(new Map(), true).with(current.id, after.sealKeys.of(current.id).clone())
    const input = { keyring: after.keyring, sealKeys: only, former: before.keyring }
    expect(codeNow(() => reactivateGenerations(input))).toBe('KEYRING_KEY_UNKNOWN')
    const ahead = rotatedForKms(before)
    const { keyring, sealKeys } = { ...after, sealKeys: before.sealKeys }
    expect(codeNow(() => reactivateGenerations({ keyring, sealKeys, former: ahead.keyring }))).toBe(
      'KEYRING_KEY_UNKNOWN',
    )
    expect(statesOf(reactivateGenerations({ keyring, sealKeys: ahead.sealKeys, former: ahead.keyring }))).toEqual([
      'active',
      'active',
    ])
  })

  it('of a KMS plugin is needed, and one that opens OpenBao is refused on either side', async () => {
    const { after } = await lost()
    const first = rotated(await begun(one))
    const openbao = await given(first, [1], [one])
    const ours = { ...openbao, former: first.keyring }
    expect(codeNow(() => reactivateGenerations(ours))).toBe('KEYRING_OTHER_USE')
    expect(codeNow(() => reactivateGenerations({ ...after, former: first.keyring }))).toBe('KEYRING_OTHER_USE')
    expect(codeNow(() => reactivateGenerations({ ...openbao, former: after.keyring }))).toBe('KEYRING_OTHER_USE')
  })

  it('cannot take the room of a break', async () => {
    const { before, after } = await lost()
    // 180 records of 4 KB each.
    const flooded = withMembers(before, 180)
    const former = withRecordsOf(flooded, versionOf(before, 1), 4_000).keyring
    const full = changed(after, { members: former.members })
    expect(codeNow(() => reactivateGenerations({ ...full, former }))).toBe('KEYRING_NO_ROOM')
  })
})

describe('the keys that are given', () => {
  it('stay the caller’s: taking back neither wipes them nor makes others', async () => {
    const { before, after } = await lost()
    const sealKeys = matchSealKey({ keyring: before.keyring, sealKey: sealKeyNamed('k') })
    reactivateGenerations({ keyring: after.keyring, sealKeys, former: before.keyring })
    expect(sealKeys.of(versionOf(before, 1).id).byteLength).toBe(32)
  })
})
