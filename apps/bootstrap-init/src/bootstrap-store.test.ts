import { chmod, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { failure, newTpm, opens, testNode, type TestNode } from './testing/test-node.ts'

let node: TestNode

beforeEach(async () => {
  node = await testNode()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
})

describe('a store that cannot be used', () => {
  it.each<[string, (path: string) => Promise<unknown>, string]>([
    ['truncated', path => truncate(path, 100), 'STORE_KEYRING_INVALID'],
    ['empty', path => truncate(path, 0), 'STORE_KEYRING_EMPTY'],
    ['of a newer version', async path => writeFile(path, flipped(await readFile(path), 4)), 'STORE_KEYRING_INVALID'],
    ['changed at its end', async path => writeFile(path, flipped(await readFile(path), -1)), 'KEYRING_AUTH_FAILED'],
    ['readable by others', path => chmod(path, 0o640), 'STORE_UNSAFE_PERMISSIONS'],
  ])('is left alone, and no TPM is asked: %s', async (_, damage, code) => {
    await node.run()
    const asked = node.seal.asked()
    await damage(join(node.storePath, 'keyring'))
    const before = await node.storeNow()
    await expect(node.run()).rejects.toEqual(failure(code))
    expect(await node.storeNow()).toEqual(before)
    expect(node.seal.asked()).toEqual(asked)
  })

  it('is not taken for a new one when its keyring is gone', async () => {
    await node.run()
    node.seal.useDevice('second')
    await node.run(newTpm)
    await truncate(join(node.storePath, 'keyring.previous'), 0)
    await rm(join(node.storePath, 'keyring'))
    const before = await node.storeNow()
    await expect(node.run()).rejects.toEqual(failure('STORE_KEYRING_MISSING'))
    expect(await node.storeNow()).toEqual(before)
  })

  it('has its modes tightened where that is asked for', async () => {
    await node.run()
    await chmod(node.storePath, 0o2770)
    await chmod(join(node.storePath, 'keyring'), 0o660)
    await expect(node.run()).rejects.toEqual(failure('STORE_UNSAFE_PERMISSIONS'))
    expect(await node.run({ tightenModes: true })).toMatchObject({ result: 'unchanged', seals: [opens] })
    expect((await stat(node.storePath)).mode & 0o7777).toBe(0o700)
    expect((await stat(join(node.storePath, 'keyring'))).mode & 0o7777).toBe(0o600)
    expect(await node.run()).toMatchObject({ result: 'unchanged' })
  })
})

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes)
  const index = at < 0 ? bytes.byteLength + at : at
  changed.writeUInt8(changed.readUInt8(index) ^ 1, index)
  return changed
}
