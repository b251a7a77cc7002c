import { randomBytes } from 'node:crypto'
import { addGeneration, addRecord, currentGeneration, findSeal, type Keyring, removeMember } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { createShareSet, shamirRemoteMember } from '@sealwright/shamir'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { type FakeSeal, fakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, broken, enrolled, type Holding, withMac } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { deleteSeal } from './delete-seal.ts'

const { signal } = new AbortController()
const surroundings = { now: Date.now, randomBytes, signal }
const IS_AWAY = new TpmError('TPM_UNREACHABLE', 'nobody answers')

let folder: TemporaryFolder
let node: TestNode | undefined
/** The TPM that this node has. */
let own: FakeSeal

beforeEach(async () => {
  folder = await temporaryFolder()
  own = fakeSeal()
})

afterEach(async () => {
  await node?.[Symbol.asyncDispose]()
  node = undefined
  await folder.remove()
})

/** With a member of this seal that is called so. */
async function withMember({ keyring, sealKeys }: Holding, seal: FakeSeal, label: string): Promise<Holding> {
  const generationId = currentGeneration(keyring).id
  const added = await seal.withLocalMember({ knownIn: keyring, signal }, member =>
    addRecord({
      keyring,
      sealKeys,
      sealName: seal.name,
      member,
      method: member.method,
      label,
      generationId,
      ...surroundings,
    }),
  )
  return { keyring: added, sealKeys }
}

/** With people who open the current generation. */
async function withPeople({ keyring, sealKeys }: Holding): Promise<Holding> {
  const { clusterId } = keyring
  const { wrappingKey, memberId, data } = createShareSet({ clusterId, threshold: 2, shares: 2, randomBytes })
  const member = shamirRemoteMember({ wrappingKey, memberId })
  const place = { sealName: 'people', label: 'board', generationId: currentGeneration(keyring).id }
  const record = { ...place, member, method: 'shamir-hybrid', wrappingKey, data } as const
  return { keyring: await addRecord({ keyring, sealKeys, ...record, ...surroundings }), sealKeys }
}

/** A node that has opened this. */
async function opened({ keyring }: Holding, seals: readonly FakeSeal[] = [own]): Promise<TestNode> {
  const made = testNode({ storePath: folder.join('seal'), seals })
  node = made
  await made.store(keyring)
  await made.tryToOpen()
  return made
}

async function remove({ custody }: TestNode, sealName: string, checkedNodes: readonly string[], seals = [own]) {
  await deleteSeal({ custody, configured: () => [], seals: () => seals }, { sealName, checkedNodes }, signal)
}

const names = ({ seals }: Keyring): readonly string[] =>
  seals.filter(({ state }) => state === 'active').map(({ name }) => name)

describe('taking a seal away', () => {
  const backup = fakeSeal({ name: 'backup', type: 'transit', device: 'shared' })
  const second = fakeSeal({ name: 'second', device: 'b' })

  it('needs another automatic seal that opens this node at that moment', async () => {
    const here = await opened(await withPeople(await withMember(await begun([own]), backup, 'shared')))
    own.failWith(IS_AWAY)
    const removing = remove(here, 'backup', ['node'])
    await expect(removing).rejects.toMatchObject({ code: 'OPERATION_LAST_WAY_IN' })
    await expect(removing).rejects.toThrow('tpm: TPM_UNREACHABLE')
    own.failWith(undefined)
    await remove(here, 'backup', ['node'])
    expect([...names(await here.storedKeyring())].sort()).toEqual(['people', 'tpm'])
  })

  it('is refused for the only automatic seal of this node, whatever shares there are', async () => {
    const here = await opened(await withPeople(await begun([own])))
    await expect(remove(here, 'tpm', ['node'])).rejects.toMatchObject({ code: 'OPERATION_LAST_WAY_IN' })
  })

  it('is refused for a seal of the configuration, though another one opens, and done for one that has opened this node but is out of it', async () => {
    const both = [own, backup]
    const here = await opened(await withMember(await begun([own]), backup, 'shared'), both)
    expect(here.custody.holder.held()?.sealName).toBe('tpm')
    const { seals: configured } = parseNodeConfig(
      JSON.stringify({ store: '/s', seals: [{ name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: '/t' } }] }),
      'node.yaml',
    )
    const inUse = { custody: here.custody, configured: () => configured, seals: () => both }
    await expect(deleteSeal(inUse, { sealName: 'tpm', checkedNodes: ['node'] }, signal)).rejects.toMatchObject({
      code: 'OPERATION_SEAL_IN_USE',
    })
    backup.failWith(IS_AWAY)
    await expect(remove(here, 'tpm', ['node'], [backup])).rejects.toMatchObject({ code: 'OPERATION_LAST_WAY_IN' })
    backup.failWith(undefined)
    await remove(here, 'tpm', ['node'], [backup])
    expect(names(await here.storedKeyring())).toEqual(['backup'])
  })

  it('is refused while the TPM of another node has no other way in, however often it was looked at', async () => {
    const holding = await withMember(await begun([own]), second, 'two')
    const here = await opened(holding)
    const removing = remove(here, 'second', ['node', 'two'])
    await expect(removing).rejects.toMatchObject({ code: 'OPERATION_LAST_WAY_IN' })
    await expect(removing).rejects.toThrow('the last way in of two')
    expect(names(await here.storedKeyring())).toEqual(names(holding.keyring))
  })

  it.each<[string, (holding: Holding) => Promise<Holding>]>([
    ['another TPM', holding => withMember(holding, fakeSeal({ name: 'third', device: 'c' }), 'two')],
    ['a seal that all share', holding => withMember(holding, backup, 'shared')],
  ])('is done where the other node has %s too, once somebody says to have looked there', async (_what, add) => {
    const here = await opened(await add(await withMember(await begun([own]), second, 'two')))
    const removing = remove(here, 'second', ['node'])
    await expect(removing).rejects.toMatchObject({ code: 'OPERATION_NODES_UNCHECKED' })
    await expect(removing).rejects.toThrow('two may be open by second')
    await remove(here, 'second', ['two'])
    expect(names(await here.storedKeyring())).not.toContain('second')
  })

  it('wants every node with a TPM looked at for a seal that all share, and one at least where there is none', async () => {
    const here = await opened(await withMember(await withMember(await begun([own]), backup, 'x'), second, 'two'))
    for (const checked of [[], ['node'], ['two'], ['x']]) {
      await expect(remove(here, 'backup', checked)).rejects.toMatchObject({ code: 'OPERATION_NODES_UNCHECKED' })
    }
    await remove(here, 'backup', ['node', 'two', 'without-a-tpm'])
    await here[Symbol.asyncDispose]()

    const shared = [fakeSeal({ name: 'hsm', type: 'transit', device: 'hsm' })]
    const withoutTpm = testNode({ storePath: folder.join('other'), seals: shared })
    node = withoutTpm
    await withoutTpm.store((await withMember(await begun(shared), backup, 'x')).keyring)
    await withoutTpm.tryToOpen()
    await expect(remove(withoutTpm, 'backup', [], shared)).rejects.toMatchObject({ code: 'OPERATION_NODES_UNCHECKED' })
    await remove(withoutTpm, 'backup', ['solo'], shared)
    expect(names(await withoutTpm.storedKeyring())).toEqual(['hsm'])
  })

  it('wants nobody to look for a seal without records', async () => {
    const { keyring, sealKeys } = await withMember(await begun([own]), backup, 'x')
    const place = keyring.members.find(({ label }) => label === 'x')
    if (place === undefined) throw new Error('no member')
    const here = await opened({ keyring: removeMember({ keyring, sealKeys, place }), sealKeys })
    await remove(here, 'backup', [])
    expect(findSeal(await here.storedKeyring(), 'backup')).toBeUndefined()
  })

  it('does not leave an older generation to people alone', async () => {
    const here = await opened(await broken(await withPeople(await begun([backup])), [own]))
    const removing = remove(here, 'backup', ['node'])
    await expect(removing).rejects.toMatchObject({ code: 'OPERATION_LAST_WAY_IN' })
    await expect(removing).rejects.toThrow('but for people with shares')
  })

  it('is not kept by a generation that somebody has planted beside the lineage for a device of that seal', async () => {
    const before = await withMember(await begun([own]), backup, 'x')
    const { keyring, sealKeys } = ahead(before, 2)
    const { generation, sealKey } = addGeneration({ ...before, step: 'chained', randomBytes })
    const generations = [...keyring.generations, { ...generation, state: 'active' as const }].sort(
      (one, other) => one.number - other.number || Buffer.compare(one.id, other.id),
    )
    const planted = withMac({ keyring: { ...keyring, generations }, sealKeys })
    const theirs = [fakeSeal({ name: 'backup', type: 'transit', device: 'theirs' })]
    const held = sealKeys.with(generation.id, sealKey)
    const here = await opened(await enrolled({ keyring: planted, sealKeys: held }, theirs, generation.id))
    expect(here.held().keyIds).toHaveLength(3)
    await remove(here, 'backup', ['node'])
    expect(names(await here.storedKeyring())).toEqual(['tpm'])
  })

  it('is refused for a seal that there is none of, and while this node is sealed', async () => {
    const here = await opened(await begun([own]))
    await expect(remove(here, 'nothing', [])).rejects.toMatchObject({ code: 'OPERATION_SEAL_UNKNOWN' })
    const sealed = testNode({ storePath: folder.join('empty'), seals: [own] })
    await expect(remove(sealed, 'tpm', [])).rejects.toMatchObject({ code: 'CUSTODY_SEALED' })
    await sealed[Symbol.asyncDispose]()
  })
})
