import { randomBytes } from 'node:crypto'
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createKeyring, encodeKeyring, type Keyring } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { openKeyringStore, readStoredKeyring } from './store.ts'

let folder: TemporaryFolder
let path: string

beforeEach(async () => {
  folder = await temporaryFolder()
  path = join(folder.path, 'seal')
})

afterEach(async () => {
  await folder.remove()
})

function sampleKeyring(): Promise<Keyring> {
  return createKeyring({
    sealName: 'tpm',
    member: { sealType: 'tpm', memberId: new Uint8Array(16).fill(1), sealKek: () => Promise.resolve(Uint8Array.of(1)) },
    method: 'tpm-sealed',
    label: 'node',
    sealKey: new Secret(new Uint8Array(32).fill(7)),
    now: Date.now,
    randomBytes,
    signal: new AbortController().signal,
  })
}

describe('the keyring of a node', () => {
  it('is read from its store', async () => {
    await mkdir(path, { mode: 0o700 })
    const keyring = await sampleKeyring()
    await writeFile(join(path, 'keyring'), encodeKeyring(keyring), { mode: 0o600 })
    await expect(readStoredKeyring(path)).resolves.toEqual(keyring)
  })

  it('is not there before bootstrap-init ran, whether or not there is a folder', async () => {
    await expect(readStoredKeyring(path)).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
    await mkdir(path, { mode: 0o700 })
    await expect(readStoredKeyring(path)).rejects.toMatchObject({
      code: 'STORE_NOT_FOUND',
      message: `${path} holds no keyring yet: run bootstrap-init on this node`,
    })
  })

  it('is refused if it is none, with the reason', async () => {
    await mkdir(path, { mode: 0o700 })
    await writeFile(join(path, 'keyring'), 'no keyring', { mode: 0o600 })
    await expect(readStoredKeyring(path)).rejects.toMatchObject({
      code: 'STORE_KEYRING_INVALID',
      message: expect.stringContaining('(KEYRING_MALFORMED: ') as unknown,
    })
  })
})

describe('a store', () => {
  it('is made, or made private, only where that is asked for', async () => {
    await expect(openKeyringStore(path)).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
    await (await openKeyringStore(path, { create: true }))[Symbol.asyncDispose]()
    await chmod(path, 0o770)
    await expect(openKeyringStore(path)).rejects.toMatchObject({ code: 'STORE_UNSAFE_PERMISSIONS' })
    await (await openKeyringStore(path, { tightenModes: true }))[Symbol.asyncDispose]()
    expect((await stat(path)).mode & 0o777).toBe(0o700)
  })
})
