import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { addGeneration, addRecord, currentGeneration, encodeKeyring, type Keyring } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { createShareSet, shamirRemoteMember } from '@sealwright/shamir'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { agreedBreak } from '../testing/agreed-break.ts'
import { fakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, type Holding } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { sealOperations } from './operations.ts'

const { signal } = new AbortController()
const caller = { processId: undefined, userId: undefined }
const MAC_BYTES = 32
const ours = fakeSeal()

let folder: TemporaryFolder
let node: TestNode
let operations: ReturnType<typeof sealOperations>

beforeEach(async () => {
  folder = await temporaryFolder()
  node = testNode({ storePath: folder.join('seal'), seals: [ours] })
  await node.store(await withOwnGeneration(ahead(await begun([ours]), 2)))
  await node.tryToOpen()
  const seals = [
    { name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: '/nowhere' } },
    { name: 'people', type: 'shamir', priority: 100 },
  ]
  const config = parseNodeConfig(JSON.stringify({ store: node.storePath, seals }), 'node.yaml')
  operations = sealOperations({
    ...{ custody: node.custody, configured: () => config.seals, seals: () => [ours] },
    reload: () => Promise.reject(new Error('there is no file to read')),
  })
})

afterEach(async () => {
  operations[Symbol.dispose]()
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** With a generation beside the lineage, made with the first seal key, that a set of shares of a stranger alone opens. */
async function withOwnGeneration({ keyring, sealKeys }: Holding): Promise<Keyring> {
  const first = await begun([ours])
  const { generation, sealKey } = addGeneration({ ...first, step: 'chained', randomBytes })
  const generations = [...keyring.generations, { ...generation, state: 'active' as const }].sort(
    (one, other) => one.number - other.number || Buffer.compare(one.id, other.id),
  )
  const { wrappingKey, memberId, data } = createShareSet({
    ...{ clusterId: keyring.clusterId, threshold: 2, shares: 2, randomBytes },
  })
  return await addRecord({
    ...{ keyring: withMac({ keyring: { ...keyring, generations }, sealKeys }), generationId: generation.id },
    ...{ sealName: 'theirs', label: 'stranger', method: 'shamir-hybrid', wrappingKey, data },
    ...{ member: shamirRemoteMember({ wrappingKey, memberId }), sealKeys: sealKeys.with(generation.id, sealKey) },
    ...{ now: Date.now, randomBytes, signal },
  })
}

/** As whoever has the current seal key makes it: docs/formats/keyring.md §6.2 and §6.4. */
function withMac({ keyring, sealKeys }: Holding): Keyring {
  const macKey = sealKeys
    .of(currentGeneration(keyring).id)
    .reveal(key => hkdfSync('sha256', key, keyring.clusterId, 'sealwright keyring v1 mac key', MAC_BYTES))
  const bytes = encodeKeyring(keyring).subarray(0, -MAC_BYTES)
  return { ...keyring, mac: Uint8Array.from(createHmac('sha256', Buffer.from(macKey)).update(bytes).digest()) }
}

describe('a generation that a stranger has planted, which they alone open', () => {
  it('does not keep them from being dropped at a break of the chain', async () => {
    const [stranger] = operations.members().filter(({ label }) => label === 'stranger')
    const { drop, nodes, lost, members } = agreedBreak(node.held(), { drop: [stranger?.memberId ?? ''] })
    const result = await operations.rotate({ breakChain: true, drop, nodes, lost, members, caller }, signal)
    expect(result).toMatchObject({ generation: 4, wrapped: [{ sealName: 'tpm' }], dropped: [{ label: 'stranger' }] })
    expect(operations.members().filter(({ state }) => state === 'active')).toMatchObject([{ sealName: 'tpm' }])
  })

  it('is in nobody’s way who gets a record of the others', async () => {
    const shares = { threshold: 2, count: 2 }
    const made = await operations.initialise({ sealName: 'people', label: undefined, shares, caller }, signal)
    for (const share of made.shares) share.wipe()
    const { memberId } = made.member
    const member = await operations.confirmShares({ sealName: 'people', memberId, caller }, signal)
    expect(member.records).toMatchObject([{ generation: 1 }])
  })
})
