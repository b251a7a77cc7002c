import { activateGeneration, addGeneration, type Holding, retireGeneration } from './add-generation.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { type Keyring, MAX_GENERATIONS, MAX_MEMBERS, memberKey } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { type OpenKeyring } from './open-keyring.ts'
import { removeMembers } from './remove.ts'
import { assertLeavesRoom } from './room.ts'
import { followSealKeys } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { withChain, withGenerations, withMembers, withRecordsOf } from './testing/flood.ts'
import {
  begun,
  broken,
  changed,
  codeNow,
  codeOf,
  enrolled,
  opened,
  pending,
  recordsOf,
  rotated,
  surroundings,
  unwrap,
} from './testing/samples.ts'

const [one, two, late] = [fakeMember('node-1'), fakeMember('node-2'), fakeMember('late')]

/** Two nodes of one cluster. Whoever has its seal key, and is none of them, can do as much. */
async function cluster(): Promise<Holding> {
  return enrolled(await begun(one), [two])
}

/** What a node makes of a flood: what it holds then, and what the merge said. */
async function met(mine: Holding, flood: Holding): Promise<{ readonly held: Holding; readonly code: string }> {
  const open = await opened(mine.keyring, one)
  let merged: OpenKeyring = open
  const code = codeNow(() => {
    merged = open.mergedWith(decodeKeyring(encodeKeyring(flood.keyring)))
  })
  return { held: { keyring: merged.keyring, sealKeys: await unwrap(merged.keyring, one) }, code }
}

/** The operator removes whom nobody knows, and breaks the chain: both nodes come along. */
async function brokenWithoutStrangers(holding: Holding): Promise<Holding> {
  const { keyring } = holding
  const known = new Set([one, two].map(({ memberId }) => toKey(keyring, memberId)))
  const strangers = keyring.members.filter(each => each.state === 'active' && !known.has(memberKey(each)))
  return broken({ ...holding, keyring: removeMembers({ ...holding, places: strangers }) }, [one, two])
}

function toKey({ members }: Keyring, memberId: Uint8Array): string {
  const [member] = members
  return member === undefined ? '' : memberKey({ sealId: member.sealId, memberId })
}

/** After a break the other node takes the new keyring, both open, a new member is let in, and all of them hear of it. */
async function expectToGoOn(before: Holding, after: Holding): Promise<void> {
  const theirs = await opened(before.keyring, two)
  const told = decodeKeyring(encodeKeyring(after.keyring))
  expect(
    codeNow(() => {
      assertLeavesRoom(told, before.keyring)
    }),
  ).toBe('none')
  const caughtUp = theirs.mergedWith(await opened(told, two))
  expect(caughtUp.keyring).toEqual(after.keyring)
  const more = await enrolled(after, [late])
  expect(caughtUp.mergedWith(more.keyring).keyring).toEqual(more.keyring)
  expect((await opened(more.keyring, late)).keyId).toBe(caughtUp.keyId)
  expect(rotated(more).generation.parentId).toEqual(currentGeneration(after.keyring).id)
}

describe('whoever has a seal key and sends many generations', () => {
  it('is refused if no break had room, and nothing is changed', async () => {
    const mine = await cluster()
    const { held, code } = await met(mine, withGenerations(mine, MAX_GENERATIONS - 1))
    expect(code).toBe('KEYRING_NO_ROOM')
    expect(held.keyring).toEqual(mine.keyring)
  })

  it.each(['pending', 'retired'] as const)(
    'can take as many as any change may, %s ones: then a break still has room',
    async state => {
      const mine = await cluster()
      const { held, code } = await met(mine, withGenerations(mine, 223, { state }))
      expect(code).toBe('none')
      expect(held.keyring.generations).toHaveLength(224)
      expect(codeNow(() => rotated(held))).toBe('KEYRING_NO_ROOM')
      const after = await brokenWithoutStrangers(held)
      expect(after.keyring.generations).toHaveLength(2)
      await expectToGoOn(held, after)
    },
  )

  it('can fill the list only for who had nothing before: then a break sweeps it empty', async () => {
    const full = withGenerations(await cluster(), MAX_GENERATIONS - 1)
    expect(
      codeNow(() => {
        assertLeavesRoom(full.keyring, undefined)
      }),
    ).toBe('KEYRING_NO_ROOM')
    const after = await broken(full, [one, two])
    expect(after.keyring.generations).toHaveLength(2)
    await expectToGoOn(full, after)
  })

  it('cannot make the lineage long: a break begins before what was chained on', async () => {
    const chain = withChain(await cluster(), 223)
    expect(codeNow(() => rotated(chain))).toBe('KEYRING_NO_ROOM')
    const after = await broken(chain, [one, two])
    expect(currentGeneration(after.keyring)).toMatchObject({ number: 2, step: 'broken' })
    const blob = (await opened(chain.keyring, one)).encryptBlob({
      plaintext: Uint8Array.of(1),
      aad: new Uint8Array(),
      ...surroundings,
    })
    expect((await opened(after.keyring, two)).decryptBlob({ blob, aad: new Uint8Array() })).toEqual(Uint8Array.of(1))
    const generations = after.keyring.generations.map(each =>
      each.number === 1 || each.step === 'broken' ? each : { ...each, state: 'retired' as const },
    )
    const retired = changed(after, { generations, records: after.keyring.records, links: [] })
    expect((await broken(retired, [one, two])).keyring.generations).toHaveLength(3)
  })

  it('cannot make a break contradict one before it: it begins after that one, with a key that is held', async () => {
    const chain = withChain(await broken(rotated(await cluster()), [one, two]), 93)
    expect(pending(chain, 'broken').generation.number).toBe(97)
    const { keyring } = rotated(chain)
    const mine = { keyring, sealKeys: await unwrap(keyring, one) }
    const after = await broken(mine, [one, two])
    expect(currentGeneration(after.keyring)).toMatchObject({ number: 4, step: 'broken' })
    await expectToGoOn(mine, after)
    const held = { keyring, sealKeys: followSealKeys({ keyring, sealKeys: chain.sealKeys }) }
    const [, , third] = keyring.generations
    if (third === undefined) throw new Error('no third generation')
    const retired = { ...held, keyring: retireGeneration({ ...held, id: third.id }) }
    expect(pending(retired, 'broken').generation.number).toBe(5)
  })

  it('cannot hold up a break that is handed out: it takes the place of what is pending', async () => {
    const full = withGenerations(await cluster(), MAX_GENERATIONS - 1)
    const handed = pending(full, 'broken')
    expect(handed.keyring.generations).toHaveLength(2)
    expect(codeNow(() => addGeneration({ ...full, step: 'chained', ...surroundings }))).not.toBe('none')
    expect(handed.generation.parentId).toEqual(currentGeneration(full.keyring).id)
  })
})

describe('whoever has a seal key and sends many members', () => {
  it('cannot keep a break from happening, nor a new member out after it', async () => {
    const mine = await cluster()
    const { held, code } = await met(mine, withMembers(mine, MAX_MEMBERS - 2))
    expect(code).toBe('none')
    expect(await codeOf(() => enrolled(held, [late]))).toBe('KEYRING_TOO_LARGE')
    const after = await brokenWithoutStrangers(held)
    expect(after.keyring.members).toHaveLength(2)
    await expectToGoOn(held, after)
  })

  it('cannot do so by members that are removed', async () => {
    const mine = await cluster()
    const { held, code } = await met(mine, withMembers(mine, MAX_MEMBERS - 2, { state: 'removed' }))
    expect(code).toBe('none')
    const after = await brokenWithoutStrangers(held)
    expect(after.keyring.members).toHaveLength(2)
    await expectToGoOn(held, after)
  })

  it('cannot do so by members of seals of their own', async () => {
    const mine = await cluster()
    const { keyring } = mine
    const [tpm] = keyring.seals
    if (tpm === undefined) throw new Error('no seal')
    const seals = Array.from({ length: 63 }, (_, index) => ({
      ...{ ...tpm, name: `seal-${index}` },
      sealId: Uint8Array.of(index, ...tpm.sealId.subarray(1)),
    })).filter(({ sealId }) => Buffer.compare(sealId, tpm.sealId) !== 0)
    const sorted = [...seals, tpm].sort((a, b) => Buffer.compare(a.sealId, b.sealId))
    const { held, code } = await met(mine, changed(mine, { seals: sorted }))
    expect(code).toBe('none')
    const after = await brokenWithoutStrangers(held)
    expect(after.keyring.seals).toEqual([tpm])
    await expectToGoOn(held, after)
  })

  it('leaves the few that were removed remembered: they are not let in again by themselves', async () => {
    const mine = withMembers(await cluster(), 128, { state: 'removed' })
    expect((await broken(mine, [one, two])).keyring.members).toHaveLength(130)
  })
})

describe('whoever has a seal key and sends many bytes', () => {
  it('is refused if records of a break had no room', async () => {
    const mine = await cluster()
    const { held, code } = await met(mine, withMembers(mine, 80, { data: new Uint8Array(8_192) }))
    expect(code).toBe('KEYRING_NO_ROOM')
    expect(held.keyring).toEqual(mine.keyring)
  })

  it('can take as much as any change may: then a break still has room', async () => {
    const mine = await cluster()
    const { held, code } = await met(mine, withMembers(mine, 66, { data: new Uint8Array(8_192) }))
    expect(code).toBe('none')
    expect(
      await codeOf(() =>
        enrolled(
          held,
          Array.from({ length: 40 }, (_, n) => fakeMember(`n${n}`)),
        ),
      ),
    ).toBe('none')
    const after = await brokenWithoutStrangers(held)
    expect(encodeKeyring(after.keyring).byteLength).toBeLessThan(8_192)
    await expectToGoOn(held, after)
  })

  it('can hang many records on the members that are there: those of pending generations go with the break', async () => {
    const mine = await cluster()
    let flood = withGenerations(mine, 33)
    for (const generation of flood.keyring.generations.slice(1)) flood = withRecordsOf(flood, generation, 8_192)
    const { held, code } = await met(mine, flood)
    expect(code).toBe('none')
    expect(held.keyring.records.length).toBeGreaterThan(60)
    const after = await brokenWithoutStrangers(held)
    expect(recordsOf(after.keyring, one)).toEqual(['1', '2'])
    await expectToGoOn(held, after)
  })
})

describe('whoever has a seal key and counts to the end', () => {
  it('cannot use up the revisions', async () => {
    const mine = await cluster()
    const last = changed(mine, { revision: Number.MAX_SAFE_INTEGER })
    expect((await met(mine, last)).code).toBe('KEYRING_NO_ROOM')
    const { held, code } = await met(mine, changed(mine, { revision: 2 ** 52 }))
    expect(code).toBe('none')
    await expectToGoOn(held, await brokenWithoutStrangers(held))
  })

  it('cannot use up the versions of an entry, so that nobody could remove it', async () => {
    const mine = await cluster()
    const { held: before, code: refused } = await met(mine, withMembers(mine, 1, { entryVersion: 2 ** 32 - 1 }))
    expect(refused).toBe('KEYRING_NO_ROOM')
    expect(before.keyring).toEqual(mine.keyring)
    const { held, code } = await met(mine, withMembers(mine, 1, { entryVersion: 2 ** 31 }))
    expect(code).toBe('none')
    await expectToGoOn(held, await brokenWithoutStrangers(held))
  })
})

describe('a break that somebody else made', () => {
  it('is not taken by itself if it leaves no room for the next one', async () => {
    const mine = await cluster()
    const theirs = withGenerations(await broken(mine, [one, two]), 239)
    expect(
      codeNow(() => {
        assertLeavesRoom(theirs.keyring, mine.keyring)
      }),
    ).toBe('KEYRING_NO_ROOM')
    const fuller = withGenerations(mine, 250)
    expect(
      codeNow(() => {
        assertLeavesRoom(theirs.keyring, fuller.keyring)
      }),
    ).toBe('none')
    const less = withGenerations(await broken(mine, [one, two]), 238)
    expect(
      codeNow(() => {
        assertLeavesRoom(less.keyring, mine.keyring)
      }),
    ).toBe('none')
  })

  it('is taken however full it is by who opens it on purpose', async () => {
    const mine = await cluster()
    const theirs = withGenerations(await broken(mine, [one, two]), 245)
    const merged = (await opened(mine.keyring, two)).mergedWith(await opened(theirs.keyring, two))
    expect(merged.keyring).toEqual(theirs.keyring)
  })
})

describe('two nodes that refuse each other, each full of other things', () => {
  it('both open, and come together again with a break by either', async () => {
    const mine = await cluster()
    const [here, there] = [await met(mine, withGenerations(mine, 120)), await met(mine, withGenerations(mine, 120))]
    expect([here.code, there.code]).toEqual(['none', 'none'])
    for (const [a, b] of [
      [here, there],
      [there, here],
    ] as const) {
      const open = await opened(a.held.keyring, one)
      expect(codeNow(() => open.mergedWith(b.held.keyring))).toBe('KEYRING_NO_ROOM')
    }
    await expectToGoOn(there.held, await brokenWithoutStrangers(here.held))
  })
})

describe('a generation that a break has swept away', () => {
  it('does not come back from a side that still lists it', async () => {
    const mine = withGenerations(await cluster(), 3)
    const after = await broken(mine, [one, two])
    const open = await opened(after.keyring, one)
    expect(open.mergedWith(mine.keyring)).toBe(open)
    const pendingOn = withGenerations(after, 1)
    expect((await met(after, pendingOn)).held.keyring.generations).toHaveLength(3)
  })

  it('is none that another one which stays comes after', async () => {
    const { generation, ...first } = pending(await cluster())
    const active = { ...first, keyring: activateGeneration({ ...first, id: generation.id }) }
    const { keyring } = await broken(active, [one, two])
    expect(keyring.generations.map(({ number }) => number)).toEqual([1, 2, 3])
  })
})
