import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, rename, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SealedNode } from '@sealwright/testing-cluster'
import { BOOTSTRAP_EXIT, expectBootstraps, expectRefusal } from './bootstrap-run.ts'
import { writeSealKey } from './seal-key.ts'
import { newNode } from './served-node.ts'
import { expectEmpty, storeEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()
let node: SealedNode
let sealKeyPath: string

beforeEach(async () => {
  ;({ node, sealKeyPath } = await newNode(scope))
})

describe("another cluster's seal key", () => {
  let otherKeyPath: string

  beforeEach(async () => {
    otherKeyPath = await writeSealKey(scope.folder.path, 'other')
  })

  it('is refused with exit code 4, and never replaces a record that works', async () => {
    await expectBootstraps(node, sealKeyPath, 'created')
    const before = await storeEntries(node.storePath)

    expectRefusal(await node.bootstrap(otherKeyPath), 'KEYRING_OTHER_KEY', BOOTSTRAP_EXIT.otherKey)
    await node.tpm.stop()
    expectRefusal(await node.bootstrap(otherKeyPath), 'KEYRING_OTHER_KEY', BOOTSTRAP_EXIT.otherKey)

    await node.tpm.start()
    expect(await storeEntries(node.storePath)).toEqual(before)
    await expectBootstraps(node, sealKeyPath, 'unchanged')
  })

  it('is refused under the name of our own key too, and our key under another name', async () => {
    await writeFile(join(sealKeyPath, 'key-id'), 'bootstrap-1', { mode: 0o600 })
    expect(await expectBootstraps(node, sealKeyPath, 'created')).toMatchObject({ keyId: 'bootstrap-1' })
    const before = await storeEntries(node.storePath)

    await writeFile(join(otherKeyPath, 'key-id'), 'bootstrap-1', { mode: 0o600 })
    expectRefusal(await node.bootstrap(otherKeyPath), 'KEYRING_OTHER_KEY', BOOTSTRAP_EXIT.otherKey)
    await writeFile(join(sealKeyPath, 'key-id'), 'bootstrap-2')
    expectRefusal(await node.bootstrap(sealKeyPath), 'BOOTSTRAP_KEY_ID', BOOTSTRAP_EXIT.sealKey)
    expect(await storeEntries(node.storePath)).toEqual(before)

    await writeFile(join(sealKeyPath, 'key-id'), 'bootstrap-1')
    await expectBootstraps(node, sealKeyPath, 'unchanged')
  })
})

describe('a seal key within the reach of others', () => {
  it('is refused where they may write it, or switch it for another', async () => {
    const file = join(sealKeyPath, 'seal-key')
    for (const [path, mode] of [
      [file, 0o620],
      [sealKeyPath, 0o707],
    ] as const) {
      const { mode: before } = await stat(path)
      await chmod(path, mode)
      expectRefusal(await node.bootstrap(sealKeyPath), 'BOOTSTRAP_KEY_UNSAFE', BOOTSTRAP_EXIT.sealKey)
      await chmod(path, before & 0o777)
    }
    expect(existsSync(node.storePath)).toBe(false)
    await expectBootstraps(node, sealKeyPath, 'created')
  })

  it('is used with a warning where they may read it, as Kubernetes mounts it', async () => {
    await mkdir(join(sealKeyPath, '..2025_01_01'), { mode: 0o755 })
    await rename(join(sealKeyPath, 'seal-key'), join(sealKeyPath, '..2025_01_01/seal-key'))
    await chmod(join(sealKeyPath, '..2025_01_01/seal-key'), 0o644)
    await symlink('..2025_01_01', join(sealKeyPath, '..data'))
    await symlink('..data/seal-key', join(sealKeyPath, 'seal-key'))
    await chmod(sealKeyPath, 0o1777)

    const { exitCode, stdout } = await node.bootstrap(sealKeyPath)

    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      result: 'created',
      proven: true,
      warnings: [expect.stringMatching(/^others may read the plain seal key in .*seal-key \(mode 0644\)/)],
    })
  })
})

describe('a seal key that cannot be used', () => {
  const key = randomBytes(32)
  // A key whose text has a digit in which the two alphabets of base64 differ.
  key[0] = 0xfb
  const text = key.toString('base64')
  const asText = (content: string) => (path: string) => writeFile(path, content, { mode: 0o600 })

  it.each<[string, (path: string) => unknown, string]>([
    ['it has 31 bytes', asText(key.subarray(1).toString('base64')), 'BOOTSTRAP_KEY_LENGTH'],
    ['it has 33 bytes', asText(Buffer.concat([key, Buffer.of(1)]).toString('base64')), 'BOOTSTRAP_KEY_LENGTH'],
    ['it is hex', asText(key.toString('hex')), 'BOOTSTRAP_KEY_LENGTH'],
    ['its file is empty', asText(''), 'BOOTSTRAP_KEY_LENGTH'],
    ['its file is huge', path => asText(text)(path).then(() => truncate(path, 2 ** 40)), 'BOOTSTRAP_KEY_LENGTH'],
    ['it is bad base64', asText(`${text.slice(0, 20)}!${text.slice(21)}`), 'BOOTSTRAP_KEY_BASE64'],
    ['it is in the URL alphabet', asText(key.toString('base64url') + '='), 'BOOTSTRAP_KEY_BASE64'],
    ['it ends with a newline', asText(`${text}\n`), 'BOOTSTRAP_KEY_NEWLINE'],
    ['it ends with CRLF', asText(`${text}\r\n`), 'BOOTSTRAP_KEY_NEWLINE'],
    ['it is all zeros', asText(Buffer.alloc(32).toString('base64')), 'KEYRING_SEAL_KEY_INVALID'],
    ['a pipe is in its place', path => execFileSync('mkfifo', [path]), 'BOOTSTRAP_KEY_UNREADABLE'],
    ['a folder is in its place', path => mkdir(path), 'BOOTSTRAP_KEY_UNREADABLE'],
  ])('is refused when %s; the store stays as it was, and the right key works after', async (_, put, code) => {
    const badKeyPath = scope.folder.join('bad')
    await mkdir(badKeyPath, { mode: 0o700 })
    await put(join(badKeyPath, 'seal-key'))

    const onNewNode = await node.bootstrap(badKeyPath)
    expectRefusal(onNewNode, code, BOOTSTRAP_EXIT.sealKey)
    for (const form of [text, key.toString('hex')]) expect(onNewNode.stderr).not.toContain(form.slice(0, 10))
    if (existsSync(node.storePath)) expectEmpty(await storeEntries(node.storePath))
    await expectBootstraps(node, sealKeyPath, 'created')

    const before = await storeEntries(node.storePath)
    expectRefusal(await node.bootstrap(badKeyPath), code, BOOTSTRAP_EXIT.sealKey)
    expect(await storeEntries(node.storePath)).toEqual(before)
    await expectBootstraps(node, sealKeyPath, 'unchanged')
  })
})
