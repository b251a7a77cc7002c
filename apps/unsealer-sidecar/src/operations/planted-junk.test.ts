import { randomBytes } from 'node:crypto'
import { rename } from 'node:fs/promises'
import { addGeneration, currentGeneration, type Generation, type Keyring, OpenKeyring } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { agreedBreak } from '../testing/agreed-break.ts'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import {
  ahead,
  begun,
  broken,
  bytesOf,
  enrolled,
  flipped,
  type Holding,
  rotated,
  withMac,
} from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { tendOnce } from '../keyring/tending.ts'
import { sealOperations } from './operations.ts'

const { signal } = new AbortController()
const caller = { processId: undefined, userId: undefined }
const ours = fakeSeal()

type Entry = Keyring['records'][number]

let folder: TemporaryFolder
let seals: readonly FakeSeal[]
let node: TestNode
let operations: ReturnType<typeof sealOperations>
let first: Holding
/** What the node holds: the first generation and two that follow it, with one record of the first. */
let third: Holding

beforeEach(async () => {
  folder = await temporaryFolder()
  seals = [ours]
  ours.failWith(undefined)
  first = await begun([ours])
  third = ahead(first, 2)
  start()
  await node.store(third.keyring)
  await node.tryToOpen()
})

afterEach(async () => {
  await stop()
  await folder.remove()
})

function start(): void {
  node = testNode({ storePath: folder.join('seal'), seals })
  operations = sealOperations({
    ...{ custody: node.custody, configured: () => [], seals: () => seals },
    reload: () => Promise.reject(new Error('there is no file to read')),
  })
}

async function stop(): Promise<void> {
  operations[Symbol.dispose]()
  await node[Symbol.asyncDispose]()
}

function byMember(one: { readonly memberId: Uint8Array }, two: { readonly memberId: Uint8Array }): number {
  return Buffer.compare(one.memberId, two.memberId)
}

function other(method: Entry['method']): Entry['method'] {
  return method === 'tpm-sealed' ? 'tpm-imported' : 'tpm-sealed'
}

function byNumber(one: Generation, other: Generation): number {
  return one.number - other.number || Buffer.compare(one.id, other.id)
}

/** With a generation beside the lineage, made with the first seal key, and a link to it that opens nothing. */
function withJunkLink(state: 'active' | 'pending'): Keyring {
  const { keyring, generation } = addGeneration({ ...first, step: 'chained', randomBytes })
  const junk = keyring.links.map(link => ({ ...link, wrappedKey: flipped(link.wrappedKey) }))
  return withMac({
    ...third,
    keyring: {
      ...third.keyring,
      generations: [...third.keyring.generations, { ...generation, state }].sort(byNumber),
      links: [...third.keyring.links, ...junk].sort((one, other) => Buffer.compare(one.toId, other.toId)),
    },
  })
}

/** With a record of the current generation for the node's own member, which opens nothing. */
function withJunkRecord(): Keyring {
  const { id } = currentGeneration(third.keyring)
  const junk = third.keyring.records.map(record => ({ ...record, generationId: id }))
  const records = [...third.keyring.records, ...junk].sort((one, other) =>
    Buffer.compare(one.generationId, other.generationId),
  )
  return withMac({ ...third, keyring: { ...third.keyring, records } })
}

describe('what whoever had an old key has planted, and opens nothing', () => {
  it.each([
    ['a link to an active generation', () => withJunkLink('active')],
    ['a link to a pending generation', () => withJunkLink('pending')],
    ['a record of the node’s own member', withJunkRecord],
  ])('keeps nobody from rotating, nor from breaking the chain: %s', async (_what, planted) => {
    await node.absorb(bytesOf({ keyring: planted() }))
    expect(node.refused).toEqual([])
    const before = node.held().keyring
    expect(before.links.length + before.records.length).toBe(4)
    const plain = { drop: [], nodes: [], lost: [], members: undefined, caller }
    await operations.rotate({ breakChain: false, ...plain }, signal)
    const { drop, nodes, lost, members } = agreedBreak(node.held())
    const result = await operations.rotate({ breakChain: true, drop, nodes, lost, members, caller }, signal)
    expect(result).toMatchObject({ generation: 5, wrapped: [{ sealName: 'tpm' }] })
    await stop()
    start()
    await node.tryToOpen()
    expect(currentGeneration(node.held().keyring).number).toBe(5)
  })

  it('in the place of a link that opens is refused: the two contradict each other', async () => {
    const links = third.keyring.links.map(link => ({ ...link, wrappedKey: flipped(link.wrappedKey) }))
    await node.absorb(bytesOf({ keyring: withMac({ ...third, keyring: { ...third.keyring, links } }) }))
    expect(node.refused).toMatchObject([{ code: 'KEYRING_DIVERGED' }])
    expect(node.held().keyring).toEqual(third.keyring)
  })
})

describe('another record in the place of the node’s own', () => {
  const plaintext = Uint8Array.of(1, 2, 3)
  const aad = new Uint8Array()

  /** The keyring of the node with its only record changed, as whoever had an old key can bring it about. */
  function withSpoiltRecord(half: 'sealedKek' | 'wrappedKey', keyring = third.keyring): Uint8Array {
    const records = keyring.records.map(record => {
      const next = { ...record, entryVersion: record.entryVersion + 1 }
      if (half === 'wrappedKey') return { ...next, wrappedKey: flipped(record.wrappedKey) }
      // A digest of the sealed KEK is the key reference of the envelope around the key: so this is the record of another keyring.
      const { sealedKek, wrappedKey } = foreign
      return { ...next, sealedKek, wrappedKey }
    })
    return bytesOf({ keyring: withMac({ ...third, keyring: { ...keyring, records } }) })
  }
  let foreign: Entry

  beforeEach(async () => {
    const [record] = (await begun([ours], 'another')).keyring.records
    if (record === undefined) throw new Error('no record')
    foreign = record
  })

  async function tend(): Promise<readonly string[]> {
    const renewed: string[] = []
    const dependencies = {
      ...{ custody: node.custody, seals: () => seals, onLookedAfter: () => undefined },
      onRenewed: (names: readonly string[]) => renewed.push(...names),
    }
    await tendOnce(dependencies, signal)
    return renewed
  }

  async function restart(): Promise<void> {
    await node.settle()
    await stop()
    start()
    await node.tryToOpen()
  }

  it.each(['sealedKek', 'wrappedKey'] as const)(
    'costs no key, also through a rotation and a break that come at once: its %s is another',
    async half => {
      const blob = node.held().encryptBlob({ plaintext, aad, randomBytes })
      await node.absorb(withSpoiltRecord(half))
      expect(node.refused).toEqual([])
      const plain = { drop: [], nodes: [], lost: [], members: undefined, caller }
      await operations.rotate({ breakChain: false, ...plain }, signal)
      await node.absorb(withSpoiltRecord(half))
      const { drop, nodes, lost, members } = agreedBreak(node.held())
      await operations.rotate({ breakChain: true, drop, nodes, lost, members, caller }, signal)
      await restart()
      expect(node.held().keyIds).toHaveLength(5)
      expect(node.held().decryptBlob({ blob, aad })).toEqual(plaintext)
    },
  )

  it.each([
    ['the same bytes under another method', ({ method, ...rest }: Entry) => ({ ...rest, method: other(method) })],
    [
      'the same bytes as those of a stranger',
      (record: Entry) => ({ ...record, wrappedKey: flipped(record.wrappedKey) }),
    ],
  ])('is noticed whatever stays as it was: %s', async (what, change) => {
    const [record] = third.keyring.records
    if (record === undefined) throw new Error('no record')
    const spoilt = { ...change(record), entryVersion: record.entryVersion + 1 }
    const stranger = { ...record, memberId: Uint8Array.from(randomBytes(16)) }
    const isCopied = what.includes('stranger')
    const member = { ...third.keyring.members[0], memberId: stranger.memberId } as Keyring['members'][number]
    const keyring = {
      ...third.keyring,
      members: [...third.keyring.members, ...(isCopied ? [member] : [])].sort(byMember),
      records: [spoilt, ...(isCopied ? [stranger] : [])].sort(byMember),
    }
    await node.absorb(bytesOf({ keyring: withMac({ ...third, keyring }) }))
    expect(node.refused).toEqual([])
    await node.settle()
    expect([...node.custody.toRenew()]).toEqual(['tpm'])
    await tend()
    await restart()
    expect(node.held().keyIds).toHaveLength(3)
  })

  it('and its generation called retired, so that nothing can be put back: new records are made of what would be lost', async () => {
    const blob = node.held().encryptBlob({ plaintext, aad, randomBytes })
    const current = currentGeneration(third.keyring)
    const generations = third.keyring.generations.map(each =>
      each === current ? each : { ...each, state: 'retired' as const },
    )
    const { sealedKek, wrappedKey } = foreign
    const junk = third.keyring.records.map(each => ({ ...each, sealedKek, wrappedKey, generationId: current.id }))
    const records = [...third.keyring.records, ...junk].sort((one, two) =>
      Buffer.compare(one.generationId, two.generationId),
    )
    await node.absorb(bytesOf({ keyring: withMac({ ...third, keyring: { ...third.keyring, generations, records } }) }))
    expect(node.refused).toEqual([])
    await node.settle()
    expect(await tend()).toEqual(['tpm'])
    const asked = ours.asked()
    expect(await tend()).toEqual([])
    expect(ours.asked()).toBe(asked)
    const { drop, nodes, lost, members } = agreedBreak(node.held())
    await operations.rotate({ breakChain: true, drop, nodes, lost, members, caller }, signal)
    await restart()
    expect(node.held().decryptBlob({ blob, aad })).toEqual(plaintext)
  })

  it('is put back by a change also while its seal waits for an operator, and not stored before', async () => {
    const backup = fakeSeal({ name: 'backup', priority: 2, device: 'b' })
    const both = await enrolled(third, [backup])
    await stop()
    seals = [ours, backup]
    start()
    await node.store(both.keyring)
    await node.tryToOpen()
    ours.failWith(new TpmError('TPM_PIN_WRONG', 'the PIN was refused'))
    await node.tryToOpen()
    const own = both.keyring.records.filter(
      ({ generationId }) => generationId.join() === first.keyring.generations[0]?.id.join(),
    )
    const records = both.keyring.records.map(each =>
      own.includes(each) ? { ...each, entryVersion: 2, wrappedKey: flipped(each.wrappedKey) } : each,
    )
    await node.absorb(bytesOf({ keyring: withMac({ ...both, keyring: { ...both.keyring, records } }) }))
    await node.settle()
    expect(await node.storedKeyring()).toEqual(both.keyring)
    expect([...node.custody.toRenew()]).toEqual([])
    const plain = { drop: [], nodes: [], lost: [], members: undefined, caller }
    await operations.rotate({ breakChain: false, ...plain }, signal)
    ours.failWith(undefined)
    await restart()
    expect(node.attempts).toContainEqual(expect.objectContaining({ kind: 'opened', sealName: 'tpm' }))
  })

  it('costs no key where another version of a link came with a break: new records are made', async () => {
    const links = third.keyring.links.map(link => ({ ...link, wrappedKey: flipped(link.wrappedKey) }))
    const spoilt = withMac({ ...third, keyring: { ...third.keyring, links } })
    const elsewhere = await broken({ ...third, keyring: spoilt }, [ours])
    await node.absorb(bytesOf(elsewhere))
    expect(currentGeneration(node.held().keyring)).toEqual(currentGeneration(elsewhere.keyring))
    await node.settle()
    expect(await tend()).toEqual(['tpm'])
    await restart()
    expect(node.held().keyIds).toHaveLength(4)
  })

  it('costs no key either where a break of another node brings it: the store stays until the record is put back', async () => {
    const blob = node.held().encryptBlob({ plaintext, aad, randomBytes })
    await node.absorb(withSpoiltRecord('wrappedKey'))
    const elsewhere = await broken({ ...third, keyring: node.held().keyring }, [ours])
    await node.absorb(bytesOf(elsewhere))
    expect(currentGeneration(node.held().keyring)).toEqual(currentGeneration(elsewhere.keyring))
    await node.settle()
    expect(node.notStored.at(-1)).toMatchObject({ cause: { code: 'KEYRING_NO_WAY_IN' } })
    expect([...node.custody.toRenew()]).toEqual(['tpm'])
    expect(await tend()).toEqual(['tpm'])
    await restart()
    expect(node.held().keyIds).toHaveLength(4)
    expect(node.held().decryptBlob({ blob, aad })).toEqual(plaintext)
  })
})

describe('a generation that was called retired, and that a blob still names', () => {
  it('is forgotten with a restart; with the store moved aside the blob brings what opens it, and the newest keyring beside that', async () => {
    const plaintext = Uint8Array.of(1, 2, 3)
    const aad = new Uint8Array()
    using old = OpenKeyring.from(first.keyring, first.sealKeys)
    const blob = old.encryptBlob({ plaintext, aad, randomBytes })
    const own = await enrolled(third, [ours])
    const generations = own.keyring.generations.map(each =>
      each.number === 3 ? each : { ...each, state: 'retired' as const },
    )
    await node.absorb(bytesOf(own))
    await node.absorb(bytesOf({ keyring: withMac({ ...own, keyring: { ...own.keyring, generations } }) }))
    await node.settle()
    const newest = node.held().keyring
    await stop()
    start()
    await node.tryToOpen()
    expect(() => node.held().decryptBlob({ blob, aad })).toThrow('not held here')

    await stop()
    await rename(folder.join('seal'), folder.join('seal.kept'))
    start()
    await node.tryToOpen()
    await node.absorb(bytesOf(first))
    await node.tryToOpen()
    expect(node.held().decryptBlob({ blob, aad })).toEqual(plaintext)
    await node.custody.learn(bytesOf({ keyring: newest }), signal)
    expect(node.held().current.number).toBe(3)
    expect(node.held().decryptBlob({ blob, aad })).toEqual(plaintext)
  })
})

describe('an active member of a removed seal, which whoever had an old key has listed', () => {
  it('counts as removed: it is not asked about at a break, and gets nothing', async () => {
    const [own] = third.keyring.seals
    if (own === undefined) throw new Error('no seal')
    const sealId = Uint8Array.from(randomBytes(own.sealId.byteLength))
    const memberId = Uint8Array.from(randomBytes(sealId.byteLength))
    const seal = { ...own, sealId, name: 'gone', state: 'removed' as const }
    const none = new Uint8Array()
    const entry = { entryVersion: 1, state: 'active' as const, label: 'stranger', wrappingKey: none, data: none }
    const keyring = {
      ...third.keyring,
      seals: [...third.keyring.seals, seal].sort((one, other) => Buffer.compare(one.sealId, other.sealId)),
      members: [...third.keyring.members, { sealId, memberId, ...entry }].sort((one, other) =>
        Buffer.compare(one.sealId, other.sealId),
      ),
    }
    await node.absorb(bytesOf({ keyring: withMac({ ...third, keyring }) }))
    expect(node.refused).toEqual([])
    expect(operations.members().find(({ label }) => label === 'stranger')).toMatchObject({ state: 'removed' })
    const { drop, nodes, lost, members } = agreedBreak(node.held())
    const result = await operations.rotate({ breakChain: true, drop, nodes, lost, members, caller }, signal)
    expect(result).toMatchObject({ wrapped: [{ sealName: 'tpm' }], dropped: [] })
  })
})

describe('a root key under a generation that a break on another node has given up', () => {
  it('decrypts after a restart: its blob brings the keyring, and what is given up has no say', async () => {
    const plaintext = Uint8Array.of(1, 2, 3)
    const aad = new Uint8Array()
    const rotatedAlone = rotated(third)
    await node.absorb(bytesOf(rotatedAlone))
    const blob = node.held().encryptBlob({ plaintext, aad, randomBytes })
    const elsewhere = await broken(third, [ours])
    await node.absorb(bytesOf(elsewhere))
    expect(node.held().keyring).toEqual(elsewhere.keyring)
    await node.settle()
    await stop()
    start()
    await node.tryToOpen()
    expect(() => node.held().decryptBlob({ blob, aad })).toThrow('not held here')
    await node.absorb(bytesOf(rotatedAlone))
    expect(node.refused).toEqual([])
    expect(node.held().decryptBlob({ blob, aad })).toEqual(plaintext)
    expect(node.held().keyring).toEqual(elsewhere.keyring)
  })
})
