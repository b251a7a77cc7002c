import { type Keyring, type KeyringContents, type KeyringRecord } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { unwrapSealKeys } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begun, codeOf, enrolled, recordFor, rotated, sealIdOf, signal, unwrap, withRecord } from './testing/samples.ts'

const member = fakeMember('a')
const nextDoor = fakeMember('next-door')

/** Two generations, two TPMs, one of them in two seals. */
async function sampleKeyring(): Promise<Keyring> {
  const first = await enrolled(await begun(member), [nextDoor])
  const inTwoSeals = await withRecord(first, recordFor(member, { sealName: 'tpm-pin' }))
  return rotated(inTwoSeals).keyring
}

type Place = Partial<KeyringRecord & Pick<KeyringContents, 'clusterId'>>

const places: readonly (readonly [string, (keyring: Keyring) => Place])[] = [
  ['generation', keyring => ({ generationId: currentGeneration(keyring).id })],
  ['seal', keyring => ({ sealId: sealIdOf(keyring, 'tpm-pin') })],
  ['member', () => ({ memberId: nextDoor.memberId })],
  ['method', () => ({ method: 'tpm-imported' })],
  ['cluster', () => ({ clusterId: new Uint8Array(16) })],
]

describe('a record in the wrong place', () => {
  it.each(places)('does not open: another %s', async (_what, placeIn) => {
    const keyring = await sampleKeyring()
    const [record] = keyring.records.filter(
      ({ memberId, sealId }) =>
        memberId.join() === member.memberId.join() && sealId.join() === sealIdOf(keyring).join(),
    )
    if (record === undefined) throw new Error('no record')
    const { clusterId = keyring.clusterId, ...place } = placeIn(keyring)
    const moved = { ...record, ...place }
    // The member that made it is the one asked, so that only the binding can refuse.
    const opener = { memberId: moved.memberId, unsealKek: member.unsealKek.bind(member) }
    const input = { keyring: { ...keyring, clusterId, records: [moved] }, sealId: moved.sealId, member: opener, signal }
    expect(await codeOf(() => unwrapSealKeys(input))).toBe('KEYRING_RECORD_AUTH_FAILED')
  })

  it('does not open if two of them have swapped what they wrap', async () => {
    const { keyring } = await enrolled(await begun(member), [nextDoor])
    const [one, two] = keyring.records
    if (one === undefined || two === undefined) throw new Error('no two records')
    const swap = (a: KeyringRecord, b: KeyringRecord) => ({ ...a, sealedKek: b.sealedKek, wrappedKey: b.wrappedKey })
    const swapped = { ...keyring, records: [swap(one, two), swap(two, one)] }
    for (const each of [member, nextDoor]) {
      const other = each === member ? nextDoor : member
      const opener = { memberId: each.memberId, unsealKek: other.unsealKek.bind(other) }
      expect(await codeOf(() => unwrap(swapped, opener))).toBe('KEYRING_RECORD_AUTH_FAILED')
    }
  })

  it('does not open the keyring of another cluster that begins with the same names', async () => {
    const { keyring } = await begun(member)
    const { keyring: other } = await begun(member, 'other')
    const records = keyring.records.map((record, index) => ({
      ...record,
      wrappedKey: other.records[index]?.wrappedKey ?? record.wrappedKey,
      sealedKek: other.records[index]?.sealedKek ?? record.sealedKek,
    }))
    expect(await codeOf(() => unwrap({ ...keyring, records }, member))).toBe('KEYRING_RECORD_AUTH_FAILED')
  })
})
