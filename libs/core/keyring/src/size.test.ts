import { addGeneration, type Holding } from './add-generation.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { type KeyringRecord, MAX_GENERATIONS, MAX_KEYRING_BYTES, type Member } from './keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { withGenerations, withMembers } from './testing/flood.ts'
import {
  begun,
  changed,
  codeNow,
  codeOf,
  enrolled,
  opened,
  recordFor,
  retired,
  rotated,
  surroundings,
  withRecord,
} from './testing/samples.ts'
import { compareMembers, compareRecords } from './validate.ts'
import { wrapForRecord } from './wrapped-key.ts'

const member = fakeMember('a')
/** Sizes of a TPM 2.0: a sealed or imported object, and the public area of a storage key. */
const SEALED_KEK_BYTES = 300
const WRAPPING_KEY_BYTES = 90
const NODES = 100
const SEALS = 4

/** One hundred nodes in four seals, each with a record of two generations. */
async function largeCluster(): Promise<Holding> {
  let holding: Holding = await begun(member)
  for (let seal = 1; seal < SEALS; seal += 1) {
    holding = await withRecord(holding, recordFor(member, { sealName: `tpm-${seal}` }))
  }
  holding = await enrolled(rotated(holding), [member])
  const { keyring, sealKeys } = holding
  const members: Member[] = keyring.seals.flatMap(({ sealId }) =>
    Array.from({ length: NODES }, (_, index) => ({
      sealId,
      memberId: index === 0 ? member.memberId : Uint8Array.of(index, ...new Uint8Array(15)),
      entryVersion: 1,
      state: 'active' as const,
      label: `node-${index}`,
      wrappingKey: new Uint8Array(WRAPPING_KEY_BYTES),
      data: new Uint8Array(),
    })),
  )
  const records: KeyringRecord[] = members.flatMap(({ sealId, memberId }, index) =>
    keyring.generations.map(({ id }) => {
      const sealedKek = new Uint8Array(SEALED_KEK_BYTES).fill(index + 1)
      const place = { sealId, memberId, generationId: id, method: 'tpm-sealed' as const, sealedKek }
      const binding = { ...place, clusterId: keyring.clusterId }
      const wrappedKey = wrapForRecord(sealKeys.of(id), sealKeys.of(id), { binding, ...surroundings })
      return { ...place, entryVersion: 1, createdAtMs: surroundings.now(), wrappedKey }
    }),
  )
  const own = keyring.records
  const others = records.filter(record => own.every(each => compareRecords(each, record) !== 0))
  return changed(holding, {
    members: members.sort(compareMembers),
    records: [...own, ...others].sort(compareRecords),
  })
}

/** With generations that were begun and given up, until no other one fits. */
function withFullLineage(holding: Holding): Holding {
  return withGenerations(holding, MAX_GENERATIONS - holding.keyring.generations.length)
}

describe('the size of a keyring', () => {
  it('may not exceed 832 KiB, read or written', async () => {
    expect(codeNow(() => decodeKeyring(new Uint8Array(MAX_KEYRING_BYTES + 1)))).toBe('KEYRING_TOO_LARGE')
    const large = (count: number) => async () =>
      withMembers(await begun(member), count, { data: new Uint8Array(8_192) })
    expect(await codeOf(large(102))).toBe('none')
    expect(await codeOf(large(104))).toBe('KEYRING_TOO_LARGE')
  })

  it('leaves room for 100 nodes, each in four seals, in two generations', async () => {
    const { keyring } = await largeCluster()
    expect(keyring.members).toHaveLength(NODES * SEALS)
    expect(keyring.records).toHaveLength(NODES * SEALS * 2)
    expect(encodeKeyring(keyring).byteLength).toBeLessThan(MAX_KEYRING_BYTES)
  })

  it('still does when the lineage has as many generations as it may have: a break gives back what is pending', async () => {
    const holding = withFullLineage(await largeCluster())
    expect(holding.keyring.generations).toHaveLength(MAX_GENERATIONS)
    expect(encodeKeyring(holding.keyring).byteLength).toBeLessThan(MAX_KEYRING_BYTES)
    expect(codeNow(() => addGeneration({ ...holding, step: 'chained', ...surroundings }))).toBe('KEYRING_TOO_LARGE')
    const { keyring } = addGeneration({ ...holding, step: 'broken', ...surroundings })
    expect(keyring.generations).toHaveLength(3)
  })
})

describe('a keyring of that size', () => {
  it('is read, opened, merged and tidied', async () => {
    const holding = withFullLineage(await largeCluster())
    const other = await enrolled(holding, [fakeMember('b')])
    const open = await opened(holding.keyring, member)
    const [first] = holding.keyring.generations
    if (first === undefined) throw new Error('no generation')
    expect(decodeKeyring(encodeKeyring(holding.keyring))).toEqual(holding.keyring)
    expect(open.mergedWith(other.keyring).keyring.members).toHaveLength(other.keyring.members.length)
    expect(retired(holding, first).keyring.generations.filter(({ state }) => state === 'retired')).toHaveLength(1)
  })
})
