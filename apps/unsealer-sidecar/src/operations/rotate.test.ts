import { currentGeneration, findRecords, OpenKeyring } from '@sealwright/keyring'
import { openThrough, proveThrough } from '@sealwright/node-seals'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal } from '../testing/fake-seal.ts'
import { begun, enrolled, type Holding } from '../testing/keyrings.ts'
import { blobOf, textOf } from '../testing/test-node.ts'
import { agreedBreak } from '../testing/agreed-break.ts'
import { rotateBroken, rotateChained } from './rotate.ts'

const { signal } = new AbortController()
const [ours, other, offline] = [
  fakeSeal({ name: 'tpm' }),
  fakeSeal({ name: 'second', device: 'b', priority: 2 }),
  fakeSeal({ name: 'third', device: 'c', priority: 3 }),
]
const seals = [ours, other]

let first: Holding
let blob: Uint8Array

beforeEach(async () => {
  first = await begun([ours, other])
  blob = blobOf(OpenKeyring.from(first.keyring, first.sealKeys))
})

/** Ids, in hex, of the members of the seal of this name. */
function memberIds({ keyring }: Pick<Holding, 'keyring'>, sealName: string): readonly string[] {
  const seal = keyring.seals.find(({ name }) => name === sealName)
  return keyring.members
    .filter(({ sealId }) => seal !== undefined && Buffer.compare(sealId, seal.sealId) === 0)
    .map(({ memberId }) => Buffer.from(memberId).toString('hex'))
}

describe('a chained rotation', () => {
  it('makes the next generation current, and asks no device for anything', async () => {
    const asked = ours.asked()
    const { keyring, generation, sealKeys } = await rotateChained(first, signal)
    expect(currentGeneration(keyring)).toMatchObject({ number: 2, step: 'chained', state: 'active' })
    expect(generation.keyId).toBe(currentGeneration(keyring).keyId)
    expect(sealKeys.has(currentGeneration(keyring).id)).toBe(true)
    expect(ours.asked()).toBe(asked)
  })

  it('leads every record to it, also that of a seal that is away, and old blobs still decrypt', async () => {
    const { keyring } = await rotateChained(await rotateChained(first, signal), signal)
    for (const seal of [ours, other]) {
      using opened = await openThrough(seal, keyring, signal)
      expect(opened.current.number).toBe(3)
      expect(textOf(opened, blob)).toBe('root key')
      expect(textOf(opened, blobOf(opened))).toBe('root key')
    }
    expect(keyring.records).toHaveLength(2)
  })

  it('leaves what it was given as it was', async () => {
    const { generations, revision } = first.keyring
    await rotateChained(first, signal)
    expect(first.keyring).toMatchObject({ generations, revision })
    expect(first.sealKeys.of(currentGeneration(first.keyring).id).reveal(bytes => bytes.byteLength)).toBe(32)
  })

  it('is another one each time: no two nodes make the same', async () => {
    const made = await Promise.all([rotateChained(first, signal), rotateChained(first, signal)])
    const [one, two] = made.map(({ keyring }) => currentGeneration(keyring).keyId)
    expect(one).not.toBe(two)
  })
})

describe('a rotation that breaks the chain', () => {
  it('gives each member that it reaches a record of its own, to be proven, and no link', async () => {
    const {
      keyring,
      provenBy = [],
      wrapped,
      dropped,
    } = await rotateBroken(first, agreedBreak(first, { seals }), signal)
    expect(currentGeneration(keyring)).toMatchObject({ number: 2, step: 'broken' })
    expect(keyring.links).toEqual([])
    expect(provenBy.map(({ name }) => name)).toEqual(['tpm', 'second'])
    expect([wrapped.map(({ sealName }) => sealName).toSorted(), dropped]).toEqual([['second', 'tpm'], []])
    for (const seal of [ours, other]) {
      await expect(proveThrough(seal, { keyring }, signal)).resolves.toBeUndefined()
      using opened = await openThrough(seal, keyring, signal)
      expect(textOf(opened, blob)).toBe('root key')
    }
  })

  it('changes nothing where a member is away, and names it', async () => {
    const three = await enrolled(first, [offline])
    const [memberId = ''] = memberIds(three, 'third')
    await expect(rotateBroken(three, agreedBreak(three, { seals }), signal)).rejects.toMatchObject({
      code: 'OPERATION_MEMBERS_UNREACHABLE',
      message: expect.stringContaining(memberId) as unknown,
    })
  })

  it('leaves out a member that is given up by its id: it opens nothing that is new', async () => {
    const three = await enrolled(first, [offline])
    const drop = memberIds(three, 'third')
    const { keyring, dropped } = await rotateBroken(three, agreedBreak(three, { seals, drop }), signal)
    expect(dropped).toMatchObject([{ sealName: 'third', memberId: drop[0] }])
    await expect(openThrough(offline, keyring, signal)).rejects.toMatchObject({ code: 'KEYRING_NO_RECORD' })
    expect(keyring.members.filter(({ state }) => state === 'removed')).toHaveLength(1)
  })

  it('refuses to give up a member that nobody knows', async () => {
    const given = agreedBreak(first, { seals, drop: ['00'.repeat(16)] })
    await expect(rotateBroken(first, given, signal)).rejects.toMatchObject({ code: 'OPERATION_MEMBER_UNKNOWN' })
  })

  it('counts a seal as away whose device does not answer', async () => {
    const silent = fakeSeal({ name: 'second', device: 'b', priority: 2 })
    const down = { ...silent, withLocalMember: () => Promise.reject(new TpmError('TPM_UNREACHABLE', 'no TPM')) }
    const rotation = rotateBroken(first, agreedBreak(first, { seals: [ours, down] }), signal)
    await expect(rotation).rejects.toMatchObject({ code: 'OPERATION_MEMBERS_UNREACHABLE' })
  })

  it('keeps the records of older generations: old blobs still name them', async () => {
    const { keyring } = await rotateBroken(first, agreedBreak(first, { seals }), signal)
    const [member] = keyring.members
    if (member === undefined) throw new Error('there are members')
    expect(findRecords(keyring, member)).toHaveLength(2)
  })

  it('ends with its signal', async () => {
    const rotation = rotateBroken(first, agreedBreak(first, { seals }), AbortSignal.abort(new Error('enough')))
    await expect(rotation).rejects.toThrow('enough')
  })
})
