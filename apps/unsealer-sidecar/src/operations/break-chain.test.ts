import { randomBytes } from 'node:crypto'
import { hex } from '@sealwright/bytes'
import {
  addRecord,
  currentGeneration,
  findRecords,
  followSealKeys,
  type Keyring,
  type Member,
  removeMember,
} from '@sealwright/keyring'
import { createShareSet, shamirRemoteMember } from '@sealwright/shamir'
import { temporaryFolder } from '@sealwright/testing-rig'
import { agreedBreak } from '../testing/agreed-break.ts'
import { fakeSeal } from '../testing/fake-seal.ts'
import { begun, bytesOf, enrolled, type Holding } from '../testing/keyrings.ts'
import { testNode } from '../testing/test-node.ts'
import { memberFacts, sealOf } from './facts.ts'
import { sealOperations } from './operations.ts'
import { type ChainBreak, rotateBroken } from './rotate.ts'
import { shareSetsOf } from './share-sets.ts'

const { signal } = new AbortController()
const caller = { processId: undefined, userId: undefined }
const ours = fakeSeal()
const seals = [ours]

let first: Holding

beforeEach(async () => {
  first = await begun([ours])
})

/** With a set of shares of somebody who has the seal key, which is all that it takes. */
async function planted({ keyring, sealKeys }: Holding, given: { data?: Uint8Array } = {}): Promise<Holding> {
  const { wrappingKey, memberId, data } = createShareSet({
    ...{ clusterId: keyring.clusterId, threshold: 2, shares: 2, randomBytes },
  })
  const member = shamirRemoteMember({ wrappingKey, memberId })
  const record = { sealName: 'people', label: 'board', member, method: member.method, wrappingKey, data, ...given }
  return { keyring: await addRecord({ keyring, sealKeys, ...record, now: Date.now, randomBytes, signal }), sealKeys }
}

/** As somebody called it who had the key, too. */
async function labelled(holding: Holding, device: string, label: string): Promise<Holding> {
  const seal = fakeSeal({ name: 'second', device, priority: 2 })
  const { keyring, sealKeys } = holding
  return await seal.withLocalMember({ knownIn: keyring, signal }, async member => ({
    keyring: await addRecord({
      ...{ keyring, sealKeys, sealName: 'second', member, method: member.method, label },
      ...{ now: Date.now, randomBytes, signal },
    }),
    sealKeys,
  }))
}

function memberOf(keyring: Keyring, sealName: string): Member {
  const member = keyring.members.find(each => sealOf(keyring, each)?.name === sealName)
  if (member === undefined) throw new Error(`${sealName} has no member`)
  return member
}

/** Breaks the chain of one keyring after an operator has looked at another. */
const broken = (holding: Holding, seen: Holding, given: Partial<ChainBreak> = {}) =>
  rotateBroken(holding, agreedBreak(seen, { seals, ...given }), signal)

describe('the members that get the next key', () => {
  it('are those that were confirmed: one that came meanwhile ends it, whose public key would have been enough', async () => {
    const behindTheirBack = await planted(first)
    await expect(broken(behindTheirBack, first)).rejects.toMatchObject({
      code: 'OPERATION_MEMBERS_CHANGED',
      message: expect.stringContaining('the 2 members that would get the next key') as unknown,
    })
    const { wrapped } = await broken(behindTheirBack, behindTheirBack)
    expect(wrapped.map(({ sealName }) => sealName).toSorted()).toEqual(['people', 'tpm'])
  })

  it('are not a stranger that is dropped, though their public key is there: they get no record, and their key leads nowhere', async () => {
    const infiltrated = await planted(first)
    const stranger = memberOf(infiltrated.keyring, 'people')
    // The fingerprint of those that stay is the one from before they came.
    const { members } = agreedBreak(first)
    const drop = [hex(stranger.memberId)]
    const { keyring, wrapped, dropped } = await broken(infiltrated, infiltrated, { drop, members })
    expect([wrapped, dropped]).toMatchObject([[{ sealName: 'tpm' }], [{ sealName: 'people', label: 'board' }]])
    expect(findRecords(keyring, stranger)).toEqual([])
    expect(memberOf(keyring, 'people')).toMatchObject({ state: 'removed' })
    expect(currentGeneration(keyring)).toMatchObject({ number: 2, step: 'broken' })
    expect(() => followSealKeys({ keyring, sealKeys: first.sealKeys })).toThrow(
      expect.objectContaining({ code: 'KEYRING_LINK_BROKEN' }) as Error,
    )
  })

  it('are not one that this node reaches, if it is dropped', async () => {
    const second = fakeSeal({ name: 'second', device: 'b', priority: 2 })
    const both = await enrolled(first, [second])
    const drop = [hex(memberOf(both.keyring, 'second').memberId)]
    const { keyring, wrapped } = await broken(both, both, { seals: [ours, second], drop })
    expect(wrapped).toMatchObject([{ sealName: 'tpm' }])
    expect(findRecords(keyring, memberOf(keyring, 'second'))).toEqual([])
  })

  it('are called as they were when they were confirmed', async () => {
    const before = await labelled(first, 'b', 'node-b')
    const renamed = await labelled(before, 'b', 'node-c')
    await expect(broken(renamed, before)).rejects.toMatchObject({ code: 'OPERATION_MEMBERS_CHANGED' })
  })

  it('have to be confirmed', async () => {
    const unseen = { ...agreedBreak(first), seals, members: undefined }
    await expect(rotateBroken(first, unseen, signal)).rejects.toMatchObject({ code: 'OPERATION_NOT_CONFIRMED' })
  })

  it('are never none', async () => {
    const drop = [hex(memberOf(first.keyring, 'tpm').memberId)]
    await expect(broken(first, first, { drop, nodes: ['node'] })).rejects.toMatchObject({
      code: 'OPERATION_LAST_WAY_IN',
    })
  })

  it('are listed, also where the data of a set is none, so that it can be dropped', async () => {
    const infiltrated = await planted(first, { data: Uint8Array.of(0xff) })
    expect(memberFacts(infiltrated.keyring).find(({ sealName }) => sealName === 'people')).toMatchObject({
      ...{ label: 'board', state: 'active', fingerprint: expect.stringMatching(/^[0-9a-f]{32}$/) as unknown },
    })
    // Nor does it keep people with other shares from entering them.
    expect(shareSetsOf((await planted(infiltrated)).keyring)).toHaveLength(1)
    const drop = [hex(memberOf(infiltrated.keyring, 'people').memberId)]
    expect((await broken(infiltrated, infiltrated, { drop })).wrapped).toHaveLength(1)
  })
})

describe('the servers of the cluster, at a break', () => {
  it('are all known by the label of a TPM that stays, else nothing is changed and they are named', async () => {
    const unknown = broken(first, first, { nodes: ['node', 'node-b', 'node-c'] })
    await expect(unknown).rejects.toMatchObject({
      code: 'OPERATION_NODES_UNKNOWN',
      message: expect.stringMatching(/^nothing was changed: .* node-b, node-c, .*keyring import here/) as unknown,
    })
  })

  it('need nothing if they are named as lost', async () => {
    const { generation } = await broken(first, first, { nodes: ['node', 'node-b'], lost: ['node-b'] })
    expect(generation.number).toBe(2)
  })

  it('are not known by a TPM that is removed by this, or was before', async () => {
    const both = await labelled(first, 'b', 'node-b')
    const member = memberOf(both.keyring, 'second')
    const nodes = ['node', 'node-b']
    const dropping = broken(both, both, { drop: [hex(member.memberId)], nodes })
    await expect(dropping).rejects.toMatchObject({ code: 'OPERATION_NODES_UNKNOWN' })
    const revoking = agreedBreak(both, { seals, drop: [hex(member.memberId)], nodes })
    const revoked = rotateBroken(both, { ...revoking, drop: [], revoked: member }, signal)
    await expect(revoked).rejects.toMatchObject({ code: 'OPERATION_NODES_UNKNOWN' })
    const without = { ...both, keyring: removeMember({ ...both, place: member }) }
    await expect(broken(without, without, { nodes })).rejects.toMatchObject({ code: 'OPERATION_NODES_UNKNOWN' })
  })

  it('have to be named where a TPM is or was a member', async () => {
    await expect(broken(first, first, { nodes: [] })).rejects.toMatchObject({ code: 'OPERATION_INVALID' })
  })
})

describe('what an agent is asked', () => {
  it('is compared with the keyring as it is when the chain is broken, and refused if a merge came between', async () => {
    const folder = await temporaryFolder()
    const node = testNode({ storePath: folder.join('seal'), seals })
    try {
      await node.store(first.keyring)
      await node.tryToOpen()
      using operations = sealOperations({
        ...{ custody: node.custody, configured: () => [], seals: () => seals },
        reload: () => Promise.reject(new Error('there is no file to read')),
      })
      const { drop, nodes, lost, members } = agreedBreak(node.held())
      const agreed = { breakChain: true, drop, nodes, lost, members, caller }
      await operations.importKeyring({ bytes: bytesOf(await planted(first)), caller }, signal)
      const before = node.held().keyring
      await expect(operations.rotate(agreed, signal)).rejects.toMatchObject({ code: 'OPERATION_MEMBERS_CHANGED' })
      expect(node.held().keyring).toBe(before)
      const strangers = operations.members().filter(({ sealName }) => sealName === 'people')
      const result = await operations.rotate({ ...agreed, drop: strangers.map(({ memberId }) => memberId) }, signal)
      expect(result).toMatchObject({ generation: 2, wrapped: [{ sealName: 'tpm' }], dropped: [{ label: 'board' }] })
    } finally {
      await node[Symbol.asyncDispose]()
      await folder.remove()
    }
  })

  it('of a break is refused for a rotation with a link', async () => {
    const nobody = { drop: [], nodes: [], lost: [], members: undefined }
    const folder = await temporaryFolder()
    const node = testNode({ storePath: folder.join('seal'), seals })
    using operations = sealOperations({
      ...{ custody: node.custody, configured: () => [], seals: () => seals },
      reload: () => Promise.reject(new Error('there is no file to read')),
    })
    try {
      for (const given of [{ drop: ['00'] }, { nodes: ['a'] }, { lost: ['a'] }, { members: 'ab'.repeat(16) }]) {
        const request = { ...nobody, ...given, breakChain: false, caller }
        await expect(operations.rotate(request, signal)).rejects.toMatchObject({ code: 'OPERATION_INVALID' })
      }
    } finally {
      await node[Symbol.asyncDispose]()
      await folder.remove()
    }
  })
})
