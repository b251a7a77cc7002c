import { chmod, mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { fakeSeal } from '../testing/fake-seal.ts'
import { begun, bytesOf, type Holding } from '../testing/keyrings.ts'
import { storedOr } from './stored-keyring.ts'

const PRIVATE_FILE = 0o600
const OPEN_FILE = 0o644

let folder: TemporaryFolder
let storePath: string
let stored: Holding
let offered: Holding

beforeEach(async () => {
  folder = await temporaryFolder()
  storePath = folder.join('seal')
  const seal = fakeSeal()
  stored = await begun([seal])
  offered = await begun([seal], 'another cluster')
})

afterEach(async () => {
  await folder.remove()
})

async function writeStore(): Promise<void> {
  await mkdir(storePath, { mode: 0o700 })
  await writeFile(join(storePath, 'keyring'), bytesOf(stored), { mode: PRIVATE_FILE })
}

describe('the keyring to open', () => {
  it('is that of the store, whatever was offered', async () => {
    await writeStore()
    expect(await storedOr(storePath, [offered.keyring])).toEqual([stored.keyring])
    expect(await storedOr(storePath, [])).toEqual([stored.keyring])
  })

  it.each<[string, () => Promise<unknown>]>([
    ['there is no store', () => Promise.resolve()],
    ['the store is an empty folder', () => mkdir(storePath, { mode: 0o700 })],
  ])('is what was offered where %s', async (_, make) => {
    await make()
    expect(await storedOr(storePath, [offered.keyring])).toEqual([offered.keyring])
    await expect(storedOr(storePath, [])).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
  })

  it.each<[string, string, () => Promise<void>]>([
    ['is cut', 'STORE_KEYRING_INVALID', () => truncate(join(storePath, 'keyring'), 50)],
    ['is empty', 'STORE_KEYRING_EMPTY', () => truncate(join(storePath, 'keyring'), 0)],
    ['is open to others', 'STORE_UNSAFE_PERMISSIONS', () => chmod(join(storePath, 'keyring'), OPEN_FILE)],
    [
      'is gone and has left a copy of the one before',
      'STORE_KEYRING_MISSING',
      async () => {
        await writeFile(join(storePath, 'keyring.previous'), bytesOf(stored), { mode: PRIVATE_FILE })
        await rm(join(storePath, 'keyring'))
      },
    ],
    [
      'is gone and has left a file that is not ours',
      'STORE_UNKNOWN_FILES',
      async () => {
        await writeFile(join(storePath, 'notes'), 'whose?', { mode: PRIVATE_FILE })
        await rm(join(storePath, 'keyring'))
      },
    ],
  ])('is never what was offered where that of the store %s', async (_, code, spoil) => {
    await writeStore()
    await spoil()
    const before = await readdir(storePath)
    await expect(storedOr(storePath, [offered.keyring])).rejects.toMatchObject({ code })
    expect(await readdir(storePath)).toEqual(before)
  })
})
