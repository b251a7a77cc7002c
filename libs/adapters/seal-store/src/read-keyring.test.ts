import { execFileSync } from 'node:child_process'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { chmod, mkdir, readFile, rename, rm, stat, symlink, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { KEYRING_MAX_BYTES } from './read-keyring.ts'
import { tempName } from './names.ts'
import { sampleKeyring } from './testing/sample-keyring.ts'
import { namesIn, never, openSampleStore, storeError, writeSample } from './testing/sample-store.ts'
import { tempFolder } from './testing/temp-folder.ts'

const put = (path: string, bytes: Uint8Array): Promise<void> => writeFile(path, bytes, { mode: 0o600 })

describe('reading the keyring', () => {
  it('gives back what was written', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
  })

  it('says undefined for a fresh folder, and leaves it as it is', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await expect(store.readKeyring()).resolves.toBeUndefined()
    expect(await namesIn(folder.path)).toEqual([])
  })

  it('says undefined where only locks were taken and a first write was killed', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await using lock = await store.lockForAgent({ signal: never })
    await put(join(folder.path, tempName('first')), sampleKeyring(1))
    await put(join(folder.path, 'writer.lock'), new Uint8Array())
    await expect(store.readKeyring()).resolves.toBeUndefined()
    expect(lock.name).toBe('agent')
  })

  it.each([
    ['keyring.previous', 'STORE_KEYRING_MISSING'],
    [tempName('next'), 'STORE_KEYRING_MISSING'],
    [tempName('previous'), 'STORE_KEYRING_MISSING'],
    ['keyring.bak', 'STORE_UNKNOWN_FILES'],
    ['keyring.first.0123.tmp', 'STORE_UNKNOWN_FILES'],
    ['lost+found', 'STORE_UNKNOWN_FILES'],
    ['Keyring', 'STORE_UNKNOWN_FILES'],
  ])('takes %s for a trace of earlier data, even when empty', async (name, code) => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await put(join(folder.path, name), new Uint8Array())
    await expect(store.readKeyring()).rejects.toEqual(storeError(code))
    await expect(writeSampleFirst(store)).rejects.toEqual(storeError(code))
    expect(await namesIn(folder.path)).toEqual([name, 'writer.lock'].sort())
  })

  it('says how to go back after somebody removed the keyring, and doing so works', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    await writeSample(store, 2)
    await unlink(join(folder.path, 'keyring'))
    await expect(store.readKeyring()).rejects.toEqual(
      storeError('STORE_KEYRING_MISSING', /cp -p keyring\.previous keyring/),
    )
    execFileSync('cp', ['-p', 'keyring.previous', 'keyring'], { cwd: folder.path })
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
  })

  it('escapes foreign file names in its message', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    for (const name of ['a\u001b[2J', 'b', 'c', 'd', 'e', 'f']) await put(join(folder.path, name), new Uint8Array())
    await expect(store.readKeyring()).rejects.toEqual(storeError('STORE_UNKNOWN_FILES', /"a\\u001b\[2J".* and 1 more/))
  })

  it('refuses a keyring of zero bytes', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    await truncate(join(folder.path, 'keyring'), 0)
    await expect(store.readKeyring()).rejects.toEqual(storeError('STORE_KEYRING_EMPTY'))
    await expect(writeSampleFirst(store)).rejects.toEqual(storeError('STORE_KEYRING_EMPTY'))
  })

  it('refuses every truncation and every flipped bit, keeps the cause and never writes over them', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    const good = sampleKeyring(1, 10)
    const bad = [
      ...Array.from({ length: good.byteLength - 1 }, (_, index) => good.slice(0, index + 1)),
      ...Array.from({ length: good.byteLength * 8 }, (_, bit) =>
        good.map((byte, index) => (index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)),
      ),
    ]
    for (const bytes of bad) {
      await put(join(folder.path, 'keyring'), bytes)
      const failure: unknown = await store.readKeyring().catch((cause: unknown) => cause)
      expect(failure).toEqual(storeError('STORE_KEYRING_INVALID', /accept \(.*(checksum|too short).*\): look at/))
      expect(failure).toHaveProperty('cause.message', expect.stringMatching(/checksum|too short/))
    }
    const left = await readFile(join(folder.path, 'keyring'))
    await expect(writeSampleFirst(store)).rejects.toEqual(storeError('STORE_KEYRING_INVALID'))
    expect(await readFile(join(folder.path, 'keyring'))).toEqual(left)
    await put(join(folder.path, 'keyring'), good)
    await expect(store.readKeyring()).resolves.toEqual(good)
  })

  it('takes a keyring of exactly the largest size and refuses one byte more', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    const overheadBytes = sampleKeyring(1, 0).byteLength
    await writeSample(store, 1, KEYRING_MAX_BYTES - overheadBytes)
    await expect(store.readKeyring()).resolves.toHaveProperty('byteLength', KEYRING_MAX_BYTES)
    await put(join(folder.path, 'keyring'), sampleKeyring(1, KEYRING_MAX_BYTES - overheadBytes + 1))
    await expect(store.readKeyring()).rejects.toEqual(storeError('STORE_TOO_LARGE'))
  })

  it('refuses links, folders, pipes and sockets in place of the keyring, and never blocks on them', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'keyring')
    await using store = await openSampleStore(folder.path)
    const places: (() => Promise<AsyncDisposable | undefined>)[] = [
      async () => {
        await put(join(folder.path, 'elsewhere'), sampleKeyring(1))
        await symlink('elsewhere', path)
        return undefined
      },
      async () => {
        await symlink('nowhere', path)
        return undefined
      },
      async () => {
        await mkdir(path)
        return undefined
      },
      () => {
        execFileSync('mkfifo', ['-m', '600', path])
        return Promise.resolve(undefined)
      },
      async () => {
        const server = createServer().listen(path)
        await once(server, 'listening')
        return server
      },
    ]
    for (const place of places) {
      const placed = await place()
      await expect(store.readKeyring()).rejects.toEqual(storeError('STORE_NOT_A_FILE'))
      await expect(writeSampleFirst(store)).rejects.toEqual(storeError('STORE_NOT_A_FILE'))
      await placed?.[Symbol.asyncDispose]()
      await rm(path, { recursive: true, force: true })
    }
  })

  it('notices that the folder was moved away, also when another one took its place', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'store')
    await using store = await openSampleStore(path, { create: true })
    await writeSample(store, 1)
    await rename(path, join(folder.path, 'away'))
    await expect(store.readKeyring()).rejects.toEqual(storeError('STORE_MOVED'))
    await mkdir(path, { mode: 0o700 })
    await expect(store.readKeyring()).rejects.toEqual(storeError('STORE_MOVED'))
    await expect(writeSampleFirst(store)).rejects.toEqual(storeError('STORE_MOVED'))
    await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_MOVED'))
    expect(await namesIn(path)).toEqual([])
  })

  it('changes nothing, not even a time stamp of the folder', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    await put(join(folder.path, tempName('next')), new Uint8Array())
    const before = await stat(folder.path, { bigint: true })
    await store.readKeyring()
    await chmod(join(folder.path, 'keyring'), 0o644)
    await expect(store.readKeyring()).rejects.toEqual(storeError('STORE_UNSAFE_PERMISSIONS'))
    const after = await stat(folder.path, { bigint: true })
    expect([after.mtimeNs, after.ctimeNs]).toEqual([before.mtimeNs, before.ctimeNs])
    expect((await stat(join(folder.path, 'keyring'))).mode & 0o777).toBe(0o644)
  })
})

/** A write by somebody who believes that the store is empty. */
function writeSampleFirst(store: Awaited<ReturnType<typeof openSampleStore>>): Promise<unknown> {
  return store.writeKeyring({
    bytes: sampleKeyring(9),
    expectedCurrent: undefined,
    prove: () => Promise.resolve(),
    signal: never,
  })
}
