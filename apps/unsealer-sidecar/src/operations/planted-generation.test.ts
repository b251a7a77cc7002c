import { randomBytes } from 'node:crypto'
import { addGeneration, addRecord, currentGeneration, type Keyring } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { createShareSet, shamirRemoteMember } from '@sealwright/shamir'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { agreedBreak } from '../testing/agreed-break.ts'
import { fakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, enrolled, type Holding, rotated, withMac } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { sealOperations } from './operations.ts'

const { signal } = new AbortController()
const caller = { processId: undefined, userId: undefined }
const ours = fakeSeal()

let folder: TemporaryFolder
let node: TestNode
let operations: ReturnType<typeof sealOperations>

beforeEach(async () => {
  folder = await temporaryFolder()
  node = testNode({ storePath: folder.join('seal'), seals: [ours] })
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

async function open(keyring: Keyring): Promise<void> {
  await node.store(keyring)
  await node.tryToOpen()
}

/** With a generation beside the lineage, made with the first seal key, that a set of shares of a stranger alone opens. */
async function withOwnGeneration({ keyring, sealKeys }: Holding): Promise<Keyring> {
  const first = await begun([ours])
  const { generation, sealKey } = addGeneration({ ...first, step: 'chained', randomBytes })
  const generations = [...keyring.generations, { ...generation, state: 'active' as const }].sort(
    (one, other) => one.number - other.number || Buffer.compare(one.id, other.id),
  )
  const withIt = { keyring: withMac({ keyring: { ...keyring, generations }, sealKeys }), sealKeys }
  return await withStranger({ ...withIt, sealKeys: sealKeys.with(generation.id, sealKey) }, generation.id)
}

/**
 * With a generation that the current one comes after, which a stranger alone opens: no link leads to it, and this node has got a record of
 * the one after it, made with its public key.
 */
async function withAncestor(holding: Holding): Promise<Keyring> {
  const theirs = rotated(holding)
  const { id } = currentGeneration(theirs.keyring)
  const next = await enrolled(rotated(theirs), [fakeSeal({ method: 'tpm-imported' })])
  const keyring = await withStranger(next, id)
  const links = keyring.links.filter(({ toId }) => Buffer.compare(toId, id) !== 0)
  return withMac({ ...next, keyring: { ...keyring, links } })
}

/** With a set of shares of a stranger that opens this generation. */
async function withStranger(holding: Holding, generationId: Uint8Array): Promise<Keyring> {
  const { clusterId } = holding.keyring
  const { wrappingKey, memberId, data } = createShareSet({ clusterId, threshold: 2, shares: 2, randomBytes })
  return await addRecord({
    ...{ ...holding, generationId, sealName: 'theirs', label: 'stranger', method: 'shamir-hybrid', wrappingKey, data },
    ...{ member: shamirRemoteMember({ wrappingKey, memberId }), now: Date.now, randomBytes, signal },
  })
}

describe('a generation that a stranger has planted, which they alone open', () => {
  it.each([
    ['beside the lineage', withOwnGeneration, 4],
    ['which the current one comes after', withAncestor, 6],
  ] as const)(
    'does not keep them from being dropped at a break of the chain: %s',
    async (_where, planted, generation) => {
      await open(await planted(ahead(await begun([ours]), 2)))
      const [stranger] = operations.members().filter(({ label }) => label === 'stranger')
      const { drop, nodes, lost, members } = agreedBreak(node.held(), { drop: [stranger?.memberId ?? ''] })
      const result = await operations.rotate({ breakChain: true, drop, nodes, lost, members, caller }, signal)
      expect(result).toMatchObject({ generation, wrapped: [{ sealName: 'tpm' }], dropped: [{ label: 'stranger' }] })
      expect(operations.members().filter(({ state }) => state === 'active')).toMatchObject([{ sealName: 'tpm' }])
    },
  )

  it('is in nobody’s way who gets a record of the others', async () => {
    await open(await withOwnGeneration(ahead(await begun([ours]), 2)))
    const shares = { threshold: 2, count: 2 }
    const made = await operations.initialise({ sealName: 'people', label: undefined, shares, caller }, signal)
    for (const share of made.shares) share.wipe()
    const { memberId } = made.member
    const member = await operations.confirmShares({ sealName: 'people', memberId, caller }, signal)
    expect(member.records).toMatchObject([{ generation: 1 }])
  })
})
