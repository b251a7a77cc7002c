import { randomBytes } from 'node:crypto'
import {
  activateGeneration,
  addGeneration,
  addRecord,
  currentGeneration,
  findSeal,
  type Keyring,
  matchSealKey,
  removeMember,
  retireGeneration,
  type SealKeys,
} from '@sealwright/keyring'
import { tpmRemoteMember } from '@sealwright/tpm'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type ConfiguredSeal } from './configured-seal.ts'
import { mayNeedTending, type Tended, tendSeals } from './tend.ts'
import { opening, type TpmSeals, tpmSeals } from './testing/tpm-seals.ts'

const { signal } = new AbortController()
const surroundings = { now: Date.now, randomBytes, signal }

let folders: TemporaryFolder[]
let tpms: Swtpm[]
let here: TpmSeals
let seal: ConfiguredSeal

beforeEach(async () => {
  folders = [await temporaryFolder(), await temporaryFolder()]
  tpms = await Promise.all(folders.map(({ path }) => startSwtpm({ directory: path })))
  here = tpmSeals(tpms[0]?.socketPath ?? '')
  seal = here.only()
})

afterEach(async () => {
  await Promise.all(tpms.map(tpm => tpm.stop()))
  await Promise.all(folders.map(folder => folder.remove()))
})

async function tended(keyring: Keyring, sealKeys: SealKeys, seals = [seal]): Promise<Tended> {
  return await tendSeals({ ...surroundings, keyring, sealKeys, seals, label: 'another-name' })
}

const keyIdsOf = ({ generations }: Keyring): readonly string[] => generations.map(({ keyId }) => keyId)

/** The keyring with one chained generation more, and its keys. */
function rotated(keyring: Keyring, sealKeys: SealKeys) {
  const added = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
  const { id } = added.generation
  const held = sealKeys.with(id, added.sealKey)
  return { keyring: activateGeneration({ keyring: added.keyring, sealKeys: held, id }), sealKeys: held }
}

/** The keyring without the only member of this seal, as a revocation leaves it. */
function revoked(keyring: Keyring, sealKeys: SealKeys, sealName: string): Keyring {
  const sealId = findSeal(keyring, sealName)?.sealId ?? new Uint8Array()
  const member = keyring.members.find(each => Buffer.compare(each.sealId, sealId) === 0)
  if (member === undefined) throw new Error('no member')
  return removeMember({ keyring, sealKeys, place: member })
}

describe('tending a seal', () => {
  it('finds nothing to do where each member has its records, also after a rotation', async () => {
    const keyring = await here.enrol(seal)
    const next = rotated(keyring, matchSealKey({ keyring, sealKey: here.sealKey }))
    for (const [each, sealKeys] of [
      [keyring, matchSealKey({ keyring, sealKey: here.sealKey })],
      [next.keyring, next.sealKeys],
    ] as const) {
      expect(mayNeedTending(each, [seal], keyIdsOf(each))).toBe(false)
      expect(await tended(each, sealKeys)).toMatchObject({ keyring: each, renewed: [] })
    }
  })

  it('gives a record of the next generation once the old one is retired, so that its records can go', async () => {
    const first = await here.enrol(seal)
    const next = rotated(first, matchSealKey({ keyring: first, sealKey: here.sealKey }))
    const [old] = first.generations
    if (old === undefined) throw new Error('no generation')
    const keyring = retireGeneration({ ...next, id: old.id })
    expect(keyring.records).toHaveLength(1)
    expect(mayNeedTending(keyring, [seal], keyIdsOf(keyring))).toBe(true)

    const { keyring: after, renewed } = await tended(keyring, next.sealKeys)
    expect(renewed).toEqual(['tpm'])
    expect(after.records).toHaveLength(1)
    expect(after.links).toEqual([])
    expect(after.records[0]?.generationId).not.toEqual(old.id)
    expect(after.members[0]?.label).toBe('node')
    expect(await opening(seal, after)).toBe('opens')
  })

  it('replaces a record that another node has made for the TPM', async () => {
    const own = await here.enrol(seal)
    const [record, member] = [own.records[0], own.members[0]]
    if (record === undefined || member === undefined) throw new Error('no record')
    expect(member.wrappingKey.length).toBeGreaterThan(0)
    const remote = tpmRemoteMember({ wrappingKey: member.wrappingKey, like: record.sealedKek, randomBytes })
    const sealKeys = matchSealKey({ keyring: own, sealKey: here.sealKey })
    const made = { keyring: own, sealKeys, sealName: 'tpm', member: remote, label: 'node' }
    const keyring = await addRecord({ ...made, method: remote.method, ...surroundings })
    expect(keyring.records.map(({ method }) => method)).toEqual(['tpm-imported'])
    expect(mayNeedTending(keyring, [seal], keyIdsOf(keyring))).toBe(true)

    const after = await tended(keyring, sealKeys)
    expect(after.keyring.records.map(({ method }) => method)).toEqual(['tpm-sealed'])
    expect(await opening(seal, after.keyring)).toBe('opens')
  })

  it('looks for nothing that is of a generation which nobody has the key of here', async () => {
    const own = await here.enrol(seal)
    const [record, member] = [own.records[0], own.members[0]]
    if (record === undefined || member === undefined) throw new Error('no record')
    const first = matchSealKey({ keyring: own, sealKey: here.sealKey })
    const next = rotated(own, first)
    const { id, keyId } = currentGeneration(next.keyring)
    const remote = tpmRemoteMember({ wrappingKey: member.wrappingKey, like: record.sealedKek, randomBytes })
    const made = { ...next, sealName: 'tpm', member: remote, label: 'node', generationId: id }
    const withRecord = await addRecord({ ...made, method: remote.method, ...surroundings })
    const withoutLink = { ...next.keyring, links: [] }
    const others = keyIdsOf(next.keyring).filter(each => each !== keyId)
    for (const [keyring, missing] of [
      [withRecord, 'a record of its own'],
      [withoutLink, 'a record'],
    ] as const) {
      expect([missing, mayNeedTending(keyring, [seal], keyIdsOf(keyring))]).toEqual([missing, true])
      expect([missing, mayNeedTending(keyring, [seal], others)]).toEqual([missing, false])
    }
  })

  it('gives a seal that the keyring does not know its first record, and a stranger to a known one nothing', async () => {
    const keyring = await here.enrol(seal)
    const second = here.only({ name: 'second' })
    const sealKeys = matchSealKey({ keyring, sealKey: here.sealKey })
    const after = await tended(keyring, sealKeys, [seal, second])
    expect(after.renewed).toEqual(['second'])
    expect(await opening(second, after.keyring)).toBe('opens')
    // It is the same TPM, so it is called the same.
    expect(after.keyring.members.map(({ label }) => label)).toEqual(['node', 'node'])

    const stranger = tpmSeals(tpms[1]?.socketPath ?? '').only()
    const refused = await tended(keyring, sealKeys, [stranger])
    expect(refused).toMatchObject({ keyring, renewed: [] })
    expect(refused.failures.get('tpm')).toMatchObject({ code: 'TPM_REPLACED' })
  })

  it('does not bring back a member that was removed, nor another device in its place, but for an operator', async () => {
    const second = here.only({ name: 'second' })
    const both = await here.enrol(second, await here.enrol(seal))
    const sealKeys = matchSealKey({ keyring: both, sealKey: here.sealKey })
    const keyring = revoked(both, sealKeys, 'second')
    expect(mayNeedTending(keyring, [seal, second], keyIdsOf(keyring))).toBe(false)
    const elsewhere = tpmSeals(tpms[1]?.socketPath ?? '').only({ name: 'second' })
    const silent = here.only({ name: 'second', tpm: { socket: '/nowhere' } })
    for (const each of [second, elsewhere, silent]) {
      const after = await tended(keyring, sealKeys, [seal, each])
      expect(after).toMatchObject({ keyring, renewed: [] })
      expect(after.failures.get('second')).toMatchObject({
        code: 'KEYRING_NO_RECORD',
        message: expect.stringMatching(/every member of it was removed.*sealctl init --seal second/) as string,
      })
    }
    const meant = { keyring, sealKeys, seals: [second], label: 'node', readdRemoved: true }
    const { keyring: back, renewed } = await tendSeals({ ...surroundings, ...meant })
    expect(renewed).toEqual(['second'])
    expect(await opening(second, back)).toBe('opens')
  })

  it('tells a removed member and a stranger where the members that are left have no record', async () => {
    const second = here.only({ name: 'second' })
    const elsewhere = tpmSeals(tpms[1]?.socketPath ?? '').only({ name: 'second' })
    const both = await here.enrol(second, await here.enrol(seal))
    const sealKeys = matchSealKey({ keyring: both, sealKey: here.sealKey })
    const gone = revoked(both, sealKeys, 'second')
    const sealId = findSeal(gone, 'second')?.sealId
    const away = gone.members.find(({ state }) => state === 'active')
    if (sealId === undefined || away === undefined) throw new Error('no member')
    const keyring = { ...gone, members: [...gone.members, { ...away, sealId, memberId: randomBytes(16) }] }
    for (const [each, reason] of [
      [second, /the member of this node was removed/],
      [elsewhere, /none of its members/],
    ] as const) {
      const after = await tended(keyring, sealKeys, [each])
      expect(after).toMatchObject({ keyring, renewed: [] })
      expect(after.failures.get('second')).toMatchObject({
        code: 'KEYRING_NO_RECORD',
        message: expect.stringMatching(reason) as string,
      })
    }
  })

  it('leaves out a seal that is down, and looks after the others', async () => {
    const keyring = await here.enrol(seal)
    const sealKeys = matchSealKey({ keyring, sealKey: here.sealKey })
    const gone = here.only({ name: 'gone', tpm: { socket: '/nowhere' } })
    const after = await tended(keyring, sealKeys, [gone, here.only({ name: 'second' })])
    expect(after.renewed).toEqual(['second'])
    expect(after.failures.get('gone')).toMatchObject({ code: 'TPM_UNREACHABLE' })
  })
})
