import { KEY_BYTES } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { absent, failure, newTpm, refused, reseal, testNode, type TestNode } from './testing/test-node.ts'

let node: TestNode

beforeEach(async () => {
  node = await testNode()
})

afterEach(async () => {
  jest.restoreAllMocks()
  await node[Symbol.asyncDispose]()
})

describe('the names of the devices', () => {
  it('are told with the seal key, or when a seal and never out of a keyring that nothing has authenticated', async () => {
    const { devices } = await node.run()
    const storageKeyName = expect.stringMatching(/^[0-9a-f]{32}$/) as unknown
    expect(devices.get('tpm')).toEqual([{ storageKeyName, isPresent: true }])
    expect((await node.run({ handedKey: undefined })).devices).toEqual(devices)
    node.seal.failWith(absent)
    expect((await node.run()).devices.get('tpm')).toEqual([{ storageKeyName, isPresent: false }])
    expect((await node.run({ handedKey: undefined })).devices.size).toBe(0)
  })
})

describe('what is secret', () => {
  it('is wiped at the end, whether or not the run went well; the handed key stays the caller’s', async () => {
    const clone = jest.spyOn(Secret.prototype, 'clone')
    await node.run()
    node.seal.useDevice('second')
    await node.run(newTpm)
    node.seal.drift()
    await node.run(reseal)
    node.seal.useDevice('third')
    node.seal.failOpeningWith(refused)
    await expect(node.run(newTpm)).rejects.toEqual(failure('BOOTSTRAP_PROOF_FAILED'))
    const clones = clone.mock.results.map(({ value }) => value as Secret) // every call returned one
    expect(clones.length).toBeGreaterThanOrEqual(3)
    expect(node.seal.keks.length).toBeGreaterThanOrEqual(5)
    for (const secret of [...clones, ...node.seal.keks]) {
      expect(() => {
        secret.reveal(() => undefined)
      }).toThrow('was wiped')
    }
    expect(node.sealKey.byteLength).toBe(KEY_BYTES)
    expect(node.sealKey.reveal(bytes => bytes.some(byte => byte !== 0))).toBe(true)
  })
})
