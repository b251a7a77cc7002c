import fc from 'fast-check'

import { activateGeneration, retireGeneration } from './add-generation.ts'
import { type Generation } from './keyring.ts'
import { compareGenerations, currentGeneration } from './lineage.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  activated,
  begun,
  broken,
  codeNow,
  handingOut,
  opened,
  pending,
  retired,
  rotated,
  surroundings,
} from './testing/samples.ts'

const member = fakeMember('a')
const aad = new Uint8Array()

describe('a generation', () => {
  it('encrypts from the moment that it is active, and decrypts until nobody needs it', async () => {
    const first = await begun(member)
    const { generation, ...second } = pending(first)
    const encrypt = async (keyring: typeof first.keyring) =>
      (await opened(keyring, member)).encryptBlob({ plaintext: Uint8Array.of(1), aad, ...surroundings })
    const blobs = [await encrypt(first.keyring), await encrypt(second.keyring)]
    const third = activated(second, generation)
    const open = await opened(third.keyring, member)
    expect(open.keyId).toBe(generation.keyId)
    for (const blob of blobs) expect(open.decryptBlob({ blob, aad })).toEqual(Uint8Array.of(1))
    const last = retired(third, currentGeneration(first.keyring))
    expect(last.keyring.generations.map(({ state }) => state)).toEqual(['retired', 'active'])
    expect(last.keyring.revision).toBe(4)
  })

  it('becomes active once, and only from pending', async () => {
    const { generation, ...second } = rotated(await begun(member))
    const [first] = second.keyring.generations
    expect(codeNow(() => activated(second, generation))).toBe('KEYRING_INPUT_INVALID')
    const third = retired(second, first ?? generation)
    expect(codeNow(() => activated(third, first ?? generation))).toBe('KEYRING_INPUT_INVALID')
  })

  it('is retired only after it was active, once, and never while it is the current one', async () => {
    const first = await begun(member)
    const { generation, ...second } = pending(first)
    expect(codeNow(() => retired(second, generation))).toBe('KEYRING_INPUT_INVALID')
    const one = currentGeneration(first.keyring)
    expect(codeNow(() => retired(second, one))).toBe('KEYRING_INPUT_INVALID')
    const third = retired(activated(second, generation), one)
    expect(codeNow(() => retired(third, one))).toBe('KEYRING_INPUT_INVALID')
  })

  it('that is not listed has no state', async () => {
    const holding = { ...(await begun(member)), id: new Uint8Array(16) }
    expect(codeNow(() => activateGeneration(holding))).toBe('KEYRING_INPUT_INVALID')
    expect(codeNow(() => retireGeneration(holding))).toBe('KEYRING_INPUT_INVALID')
  })

  it('is not moved on in a keyring that is not authentic, nor without its key', async () => {
    const first = await begun(member)
    const { generation, keyring, sealKeys } = pending(first)
    const forged = { keyring: { ...keyring, revision: 9 }, sealKeys }
    expect(codeNow(() => activated(forged, generation))).toBe('KEYRING_AUTH_FAILED')
    expect(codeNow(() => activated({ keyring, sealKeys: first.sealKeys }, generation))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('cannot become active once another one has overtaken it, whichever of them has the lower id', async () => {
    const both = pending(pending(await begun(member)))
    const [, one, two] = both.keyring.generations
    if (one === undefined || two === undefined) throw new Error('no two siblings')
    for (const [first, second] of [
      [one, two],
      [two, one],
    ] as const) {
      const overtaken = activated(both, first)
      expect(() => activated(overtaken, second)).toThrow(`generation 2 (${second.keyId}) was overtaken: another`)
      expect(codeNow(() => activated(overtaken, second))).toBe('KEYRING_INPUT_INVALID')
    }
  })

  it('can become active after a broken step though another one is further on by then', async () => {
    const { generation, ...handedOut } = await handingOut(await begun(member), [member])
    expect(currentGeneration(activated(rotated(handedOut), generation).keyring).id).toEqual(generation.id)
  })

  it('cannot become active once the chain was broken elsewhere', async () => {
    const { generation: chained, ...holding } = pending(await begun(member))
    const { generation: alsoBroken, ...handedOut } = await handingOut(holding, [member])
    const after = await broken(handedOut, [member])
    expect(codeNow(() => activated(after, chained))).toBe('KEYRING_INPUT_INVALID')
    expect(codeNow(() => activated(after, alsoBroken))).toBe('KEYRING_INPUT_INVALID')
  })
})

describe('the current generation', () => {
  /** What the choice looks at. Generation 1, and others, each of which follows one before it. */
  const lineages = fc
    .array(
      fc.record({
        parent: fc.nat(),
        id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        step: fc.constantFrom('chained' as const, 'broken' as const),
        state: fc.constantFrom('pending' as const, 'active' as const, 'retired' as const),
      }),
      { maxLength: 12 },
    )
    .map(entries => {
      const nothing = { keyId: 'k', signingKey: new Uint8Array(32), signature: new Uint8Array(64) }
      const first: Generation & { readonly breaks: number } = {
        ...nothing,
        number: 1,
        id: Uint8Array.of(1, ...new Uint8Array(15)),
        parentId: new Uint8Array(16),
        step: 'chained',
        state: 'active',
        breaks: 0,
      }
      const all = [first]
      for (const { parent, id, step, state } of entries) {
        const { number, id: parentId, breaks } = all[parent % all.length] ?? first
        const count = breaks + (step === 'broken' ? 1 : 0)
        all.push({ ...nothing, number: number + 1, id, parentId, step, state, breaks: count })
      }
      return all.sort(compareGenerations)
    })

  it('is the active one with most breaks before it, then the highest, then the one with the lowest id', () => {
    fc.assert(
      fc.property(lineages, generations => {
        const contents = { revision: 1, clusterId: aad, generations, seals: [], members: [], records: [], links: [] }
        const [expected] = generations
          .filter(({ state }) => state === 'active')
          .sort((a, b) => b.breaks - a.breaks || b.number - a.number || Buffer.compare(a.id, b.id))
        expect(currentGeneration(contents)).toBe(expected)
      }),
      { numRuns: 1_000 },
    )
  })
})
