import { type Keyring, matchSealKey, removeMember, removeSeal, type Seal, type SealKeys } from '@sealwright/keyring'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal } from './testing/fake-seal.ts'
import { absent, fails, failure, newTpm, opens, refused, testNode, type TestNode } from './testing/test-node.ts'

let node: TestNode

beforeEach(async () => {
  node = await testNode()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
})

describe('a TPM that is a stranger to a node that was bootstrapped before', () => {
  it('gets nothing although the seal key is at hand, and the node stays as it was', async () => {
    await node.run()
    const before = await node.storeNow()
    const keksBefore = node.seal.keks.length
    node.seal.useDevice('second')
    await expect(node.run()).rejects.toEqual(failure('TPM_REPLACED'))
    await expect(node.run({ permissions: { newTpm: false, reseal: true } })).rejects.toEqual(failure('TPM_REPLACED'))
    expect(node.seal.keks).toHaveLength(keksBefore)
    expect(await node.storeNow()).toEqual(before)
  })

  it('gets nothing either when another seal of the node has something to gain', async () => {
    await node.run()
    const before = await node.storeNow()
    node.seal.useDevice('second')
    const added = fakeSeal({ name: 'added', priority: 2 })
    await expect(node.run({ seals: [added, node.seal] })).rejects.toEqual(failure('TPM_REPLACED'))
    expect(await node.storeNow()).toEqual(before)
  })

  it('gets a record beside the old one where that is allowed, and either TPM opens from then on', async () => {
    const { keyring: first } = await node.run()
    node.seal.useDevice('second')
    const without = await node.run({ handedKey: undefined })
    expect(without).toMatchObject({ result: 'unchanged', seals: [fails('TPM_REPLACED')] })
    const report = await node.run(newTpm)
    const { keyring, devices } = report
    expect(report).toMatchObject({ result: 'extended', seals: [opens] })
    expect(devices.get('tpm')?.filter(({ isPresent }) => isPresent)).toHaveLength(1)
    expect(devices.get('tpm')).toHaveLength(2)
    expect(keyring.records).toHaveLength(2)
    expect(keyring.records).toEqual(expect.arrayContaining([...first.records]))
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [opens] })
    expect(await node.run({ handedKey: undefined })).toMatchObject({ result: 'unchanged', seals: [opens] })
    node.seal.useDevice('first')
    const again = await node.run({ handedKey: undefined })
    expect(again).toMatchObject({ result: 'unchanged', seals: [opens] })
    const presentThen = devices.get('tpm')?.find(({ isPresent }) => isPresent)
    const presentNow = again.devices.get('tpm')?.find(({ isPresent }) => isPresent)
    expect(presentNow).toBeDefined()
    expect(presentNow).not.toEqual(presentThen)
    expect(await node.run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('changes nothing where it is allowed and its record does not open', async () => {
    await node.run()
    const before = (await node.storeNow()) ?? {}
    node.seal.useDevice('second')
    node.seal.failOpeningWith(refused)
    await expect(node.run(newTpm)).rejects.toEqual(failure('BOOTSTRAP_PROOF_FAILED', /TPM_RC: /))
    const after = (await node.storeNow()) ?? {}
    expect(after.keyring).toEqual(before.keyring)
    expect(Object.keys(after)).toEqual(Object.keys(before))
  })
})

describe('a seal or TPM that was removed from the keyring', () => {
  /** Bootstraps with two seals, then removes something of the first from what is stored. */
  async function without(remove: (holding: { keyring: Keyring; sealKeys: SealKeys }, seal: Seal) => Keyring) {
    const seals = [node.seal, fakeSeal({ name: 'backup', priority: 2 })]
    const { keyring } = await node.run({ seals })
    const seal = keyring.seals.find(({ name }) => name === 'tpm')
    if (seal === undefined) throw new Error('no seal')
    const sealKeys = matchSealKey({ keyring, sealKey: node.sealKey })
    await node.put(remove({ keyring, sealKeys }, seal))
    return seals
  }

  const removals = {
    seal: (holding, { sealId }) => removeSeal({ ...holding, sealId }),
    TPM: (holding, { sealId }) => {
      const place = holding.keyring.members.find(member => Buffer.compare(member.sealId, sealId) === 0)
      if (place === undefined) throw new Error('no member')
      return removeMember({ ...holding, place })
    },
  } satisfies Record<string, Parameters<typeof without>[0]>

  it.each(['seal', 'TPM'] as const)('gets nothing by itself although the seal key is at hand: a %s', async what => {
    const seals = await without(removals[what])
    const before = await node.storeNow()
    const report = await node.run({ seals })
    expect(report).toMatchObject({ result: 'unchanged', seals: [fails('KEYRING_NO_RECORD'), { state: 'opens' }] })
    expect(await node.storeNow()).toEqual(before)
  })

  it.each(['seal', 'TPM'] as const)('comes back where that is allowed: a %s', async what => {
    const seals = await without(removals[what])
    expect(await node.run({ seals, ...newTpm })).toMatchObject({
      result: 'extended',
      seals: [opens, { state: 'opens' }],
    })
  })
})

describe('what an operator allows', () => {
  it.each([
    ['--new-tpm', { newTpm: true, reseal: false }],
    ['--reseal', { newTpm: false, reseal: true }],
    ['--reseal and --new-tpm', { newTpm: true, reseal: true }],
  ])('is not lost in silence where there is no seal key: %s', async (options, permissions) => {
    await node.run()
    const asked = node.seal.asked()
    await expect(node.run({ handedKey: undefined, permissions })).rejects.toEqual(
      failure(
        'BOOTSTRAP_KEY_MISSING',
        new RegExp(`no seal key at /run/secrets/bootstrap, and ${options} can do nothing`),
      ),
    )
    expect(node.seal.asked()).toEqual(asked)
  })

  it('changes nothing on a new node, and nothing where nothing has changed', async () => {
    const both = { permissions: { newTpm: true, reseal: true } }
    expect(await node.run(both)).toMatchObject({ result: 'created', seals: [opens] })
    const before = await node.storeNow()
    expect(await node.run(both)).toMatchObject({ result: 'unchanged', seals: [opens] })
    node.seal.failWith(absent)
    expect(await node.run(both)).toMatchObject({ result: 'unchanged', seals: [fails('TPM_UNREACHABLE')] })
    node.seal.failWith(new TpmError('TPM_OWNER_AUTH', 'the TPM refused the owner authorisation'))
    await expect(node.run(both)).rejects.toEqual(failure('TPM_OWNER_AUTH'))
    expect(await node.storeNow()).toEqual(before)
  })
})
