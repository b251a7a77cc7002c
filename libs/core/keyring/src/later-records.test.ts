import { type Holding } from './add-generation.ts'
import { type Generation, type Keyring } from './keyring.ts'
import { compareGenerations, currentGeneration } from './lineage.ts'
import { type SealMember } from './seal.ts'
import { type SealKeys, unwrapSealKeys } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { withChain, withGenerations } from './testing/flood.ts'
import { begun, broken, changed, enrolled, heldBy, rotated, sealIdOf, signal } from './testing/samples.ts'
import { compareRecords } from './validate.ts'

const BOUND = 32
const member = fakeMember('a')

/** Generations that follow the first one, and that no links lead to. */
function siblings(first: Holding, count: number): readonly Generation[] {
  const { generations } = withGenerations(first, count, { step: 'chained' }).keyring
  return generations.slice(1).map(generation => ({ ...generation, state: 'active' }))
}

/** A chain of three generations, and so many beside it for which somebody has planted records of this member. */
async function planted(count: number): Promise<Keyring> {
  const first = await begun(member)
  const chain = withChain(first, 2)
  const beside = siblings(first, count)
  const [record] = first.keyring.records
  if (record === undefined) throw new Error('the member has a record')
  const generations = [...chain.keyring.generations, ...beside].sort(compareGenerations)
  const records = [record, ...beside.map(({ id }) => ({ ...record, generationId: id }))].sort(compareRecords)
  return changed(chain, { generations, records }).keyring
}

/** Opens it with a member that answers its first question, and fails at the others. */
async function asked(
  keyring: Keyring,
  failure: Error,
  mayGoOn?: (error: unknown) => boolean,
): Promise<{ readonly asked: number; readonly sealKeys: SealKeys }> {
  let count = 0
  const unsealKek: SealMember['unsealKek'] = (sealedKek, options) => {
    count += 1
    return count === 1 ? member.unsealKek(sealedKek, options) : Promise.reject(failure)
  }
  const sealKeys = await unwrapSealKeys({
    ...{ keyring, sealId: sealIdOf(keyring), signal, member: { ...member, unsealKek } },
    ...(mayGoOn === undefined ? {} : { mayGoOn }),
  })
  return { asked: count, sealKeys }
}

describe('records beyond the first', () => {
  it('are not asked for after one at which the caller stops, and the keyring opens all the same', async () => {
    const keyring = await planted(20)
    const refused = new Error('PIN wrong')
    const stopped = await asked(keyring, refused, error => error !== refused)
    expect(stopped.asked).toBe(2)
    expect(stopped.sealKeys.has(currentGeneration(keyring).id)).toBe(true)
    expect((await asked(keyring, new Error('policy'), error => error !== refused)).asked).toBe(21)
  })

  it('are asked for up to a number', async () => {
    expect((await asked(await planted(BOUND), new Error('policy'))).asked).toBe(1 + BOUND)
    const { asked: count, sealKeys } = await asked(await planted(BOUND + 10), new Error('policy'))
    expect(count).toBe(1 + BOUND)
    sealKeys.wipe()
  })

  it('are tried after a first one that does not open only if the caller says so, and open the keyring', async () => {
    const holding = await enrolled(rotated(await begun(member)), [member])
    const { keyring } = holding
    const [first] = keyring.generations
    const fault = new Error('damaged')
    const unsealKek: SealMember['unsealKek'] = (sealedKek, options) => {
      const record = keyring.records.find(each => each.sealedKek === sealedKek)
      return record?.generationId === first?.id ? Promise.reject(fault) : member.unsealKek(sealedKek, options)
    }
    const input = { keyring, sealId: sealIdOf(keyring), signal, member: { ...member, unsealKek } }
    await expect(unwrapSealKeys(input)).rejects.toBe(fault)
    const seen: boolean[] = []
    const mayGoOn = (error: unknown, { isOpen }: { readonly isOpen: boolean }): boolean => {
      seen.push(isOpen)
      return error === fault
    }
    expect(heldBy(keyring, await unwrapSealKeys({ ...input, mayGoOn }))).toEqual(['2'])
    expect(seen).toEqual([false])
    const none = { ...member, unsealKek: () => Promise.reject(fault) }
    await expect(unwrapSealKeys({ ...input, member: none, mayGoOn })).rejects.toBe(fault)
  })

  it('come first where the current generation comes after theirs: nothing planted beside it keeps those out', async () => {
    const first = await begun(member)
    const beside = siblings(first, BOUND + 8)
    const second = await enrolled(rotated(first), [member])
    const holding = await broken(second, [member])
    const [record] = first.keyring.records
    if (record === undefined) throw new Error('the member has a record')
    const { keyring } = changed(holding, {
      generations: [...holding.keyring.generations, ...beside].sort(compareGenerations),
      records: [...holding.keyring.records, ...beside.map(({ id }) => ({ ...record, generationId: id }))].sort(
        compareRecords,
      ),
    })
    const sealKeys = await unwrapSealKeys({ keyring, sealId: sealIdOf(keyring), signal, member })
    for (const { id } of holding.keyring.generations) expect(sealKeys.has(id)).toBe(true)
    expect(heldBy(keyring, sealKeys)).toHaveLength(3)
  })
})
