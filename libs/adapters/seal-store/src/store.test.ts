import { chmod, chown, mkdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openSealStore } from './index.ts'
import { startChild } from './testing/child.ts'
import { sampleKeyring, verifySample } from './testing/sample-keyring.ts'
import { namesIn, never, openSampleStore, storeError, writeSample } from './testing/sample-store.ts'
import { tempFolder } from './testing/temp-folder.ts'

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777
const isRoot = process.geteuid?.() === 0

describe('opening a seal store', () => {
  it('works as the README shows', async () => {
    await using folder = await tempFolder()
    const { signal } = new AbortController()
    const bytes = sampleKeyring(1)
    await using store = await openSealStore({ path: join(folder.path, 'seal'), verify: verifySample, create: true })
    await using lock = await store.lockForAgent({ signal })
    const current = await store.readKeyring()
    await store.writeKeyring({ bytes, expectedCurrent: current, prove: () => Promise.resolve(), signal })
    await expect(store.readKeyring()).resolves.toEqual(bytes)
    expect(lock.name).toBe('agent')
  })

  it('makes a private folder on request, also under a careless umask, and takes an existing one', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'store')
    const umask = process.umask(0)
    try {
      await (await openSampleStore(path, { create: true }))[Symbol.asyncDispose]()
    } finally {
      process.umask(umask)
    }
    expect(await modeOf(path)).toBe(0o700)
    await using store = await openSampleStore(path, { create: true })
    await writeSample(store, 1)
    await writeSample(store, 2)
    for (const name of await namesIn(path)) expect(await modeOf(join(path, name))).toBe(0o600)
  })

  it('refuses a missing folder, and a missing parent when it is to make one', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'missing', 'store')
    await expect(openSampleStore(path)).rejects.toEqual(storeError('STORE_NOT_FOUND'))
    await expect(openSampleStore(path, { create: true })).rejects.toEqual(storeError('STORE_NOT_FOUND', /make it/))
  })

  it('refuses a file or a link where the folder should be, also with a trailing slash', async () => {
    await using folder = await tempFolder()
    await mkdir(join(folder.path, 'real'), { mode: 0o700 })
    await symlink('real', join(folder.path, 'link'))
    await writeFile(join(folder.path, 'file'), '')
    for (const name of ['link', 'link/', 'file']) {
      const path = join(folder.path, name)
      await expect(openSampleStore(path)).rejects.toEqual(storeError('STORE_NOT_A_FOLDER'))
      await expect(openSampleStore(path, { create: true })).rejects.toEqual(storeError('STORE_NOT_A_FOLDER'))
    }
  })

  it.each(['750', '701', '770', '777', '710'])('refuses a folder with mode %s and says the chmod', async octal => {
    const mode = Number.parseInt(octal, 8)
    await using folder = await tempFolder()
    await chmod(folder.path, mode)
    await expect(openSampleStore(folder.path)).rejects.toEqual(
      storeError('STORE_UNSAFE_PERMISSIONS', /run: chmod 0700 '\//),
    )
    expect(await modeOf(folder.path)).toBe(mode)
  })

  it.each(['640', '604', '660', '610'])('refuses a keyring with mode %s and says the chmod', async octal => {
    const mode = Number.parseInt(octal, 8)
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    await chmod(join(folder.path, 'keyring'), mode)
    await expect(store.readKeyring()).rejects.toEqual(storeError('STORE_UNSAFE_PERMISSIONS', /run: chmod 0600 '\//))
  })

  it('refuses a folder that belongs to somebody else and says the chown', async () => {
    await using folder = await tempFolder()
    // Only root can give a folder away; to everybody else the root folder is somebody else's.
    if (isRoot) await chown(folder.path, 65534, 65534)
    await expect(openSampleStore(isRoot ? folder.path : '/')).rejects.toEqual(
      storeError('STORE_UNSAFE_PERMISSIONS', /belongs to user \d+, .* run: chown \d+ '\//),
    )
  })

  it('refuses an agent lock that others can reach', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeFile(join(folder.path, 'agent.lock'), '')
    await chmod(join(folder.path, 'agent.lock'), 0o666)
    await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_UNSAFE_PERMISSIONS'))
  })

  it('on request takes back the bits that fsGroup gives, from our files only', async () => {
    await using folder = await tempFolder()
    const foreign = join(folder.path, 'foreign')
    {
      await using store = await openSampleStore(folder.path)
      await writeSample(store, 1)
    }
    await writeFile(foreign, '')
    await chmod(foreign, 0o664)
    await chmod(join(folder.path, 'keyring'), 0o660)
    await chmod(folder.path, 0o2770)
    await using store = await openSampleStore(folder.path, { tightenModes: true })
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
    expect(await modeOf(folder.path)).toBe(0o700)
    expect(await modeOf(join(folder.path, 'keyring'))).toBe(0o600)
    expect(await modeOf(foreign)).toBe(0o664)
  })

  it('refuses to write where the owner has no permission, and works again after', async () => {
    await using folder = await tempFolder()
    // Root is not held back by modes unless it gives up the capability.
    const wrapper = isRoot ? ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'] : []
    await using child = startChild({ wrapper })
    const write = (sequence: number): ReturnType<typeof child.order> =>
      child.order({ op: 'write', path: folder.path, sequence, fillerBytes: 10 })
    await expect(write(1)).resolves.toEqual({ kind: 'done', sequence: 1 })
    await chmod(folder.path, 0o500)
    await expect(write(2)).resolves.toHaveProperty('code', 'STORE_PERMISSION_DENIED')
    await expect(child.order({ op: 'read', path: folder.path })).resolves.toHaveProperty('sequence', 1)
    await chmod(folder.path, 0o300)
    await expect(child.order({ op: 'read', path: folder.path })).resolves.toHaveProperty('code', 'STORE_UNREADABLE')
    await chmod(folder.path, 0o700)
    await chmod(join(folder.path, 'keyring'), 0o200)
    await expect(write(2)).resolves.toHaveProperty('code', 'STORE_UNREADABLE')
    await chmod(join(folder.path, 'keyring'), 0o600)
    await expect(write(2)).resolves.toEqual({ kind: 'done', sequence: 2 })
    expect(await namesIn(folder.path)).toEqual(['agent.lock', 'keyring', 'keyring.previous', 'writer.lock'])
  })
})
