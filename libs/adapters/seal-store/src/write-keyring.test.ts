import { readlinkSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { tempName } from './names.ts'
import { KEYRING_MAX_BYTES } from './read-keyring.ts'
import { type SealStore } from './store.ts'
import { startChild } from './testing/child.ts'
import { sampleKeyring } from './testing/sample-keyring.ts'
import { acceptAll, namesIn, never, openSampleStore, storeError, writeSample } from './testing/sample-store.ts'
import { tempFolder } from './testing/temp-folder.ts'

const first = ['agent.lock', 'keyring', 'writer.lock']
const whole = ['agent.lock', 'keyring', 'keyring.previous', 'writer.lock']

function write(store: SealStore, to: number, over: number | undefined, more = {}): Promise<string> {
  const expectedCurrent = over === undefined ? undefined : sampleKeyring(over)
  return store.writeKeyring({ bytes: sampleKeyring(to), expectedCurrent, prove: acceptAll, signal: never, ...more })
}

/** The prototype of every open file, to fail or watch its calls. */
async function fileHandlePrototype(): Promise<fs.FileHandle> {
  await using handle = await fs.open('/')
  return Object.getPrototypeOf(handle) as fs.FileHandle // the object under every FileHandle has its methods
}

const systemError = (code: string): Error => Object.assign(new Error(`${code}: made by the test`), { code })

afterEach(() => {
  jest.restoreAllMocks()
})

describe('writing the keyring', () => {
  it('writes the first one, then keeps the one before as keyring.previous', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await expect(write(store, 1, undefined)).resolves.toBe('written')
    expect(await namesIn(folder.path)).toEqual(first)
    await expect(write(store, 2, 1)).resolves.toBe('written')
    await expect(write(store, 3, 2)).resolves.toBe('written')
    expect(await namesIn(folder.path)).toEqual(whole)
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(3))
    expect(new Uint8Array(await fs.readFile(join(folder.path, 'keyring.previous')))).toEqual(sampleKeyring(2))
  })

  it('makes the lock file of the agent, empty and lasting, before there is a keyring, and leaves one that is there alone', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    const path = join(folder.path, 'agent.lock')
    const sync = jest.spyOn(await fileHandlePrototype(), 'sync')
    sync.mockRejectedValueOnce(systemError('ENOSPC'))
    await expect(write(store, 1, undefined)).rejects.toEqual(storeError('STORE_DISK_FULL', /agent\.lock: free/))
    expect(await namesIn(folder.path)).toEqual(['agent.lock', 'writer.lock'])
    await fs.unlink(path)

    const umask = process.umask(0o777)
    try {
      await expect(write(store, 1, undefined)).resolves.toBe('written')
    } finally {
      process.umask(umask)
    }
    expect(await fs.stat(path)).toMatchObject({ size: 0, mode: 0o100600 })

    await using lock = await store.lockForAgent({ signal: never })
    const held = await fs.readFile(path, 'latin1')
    await expect(write(store, 2, 1)).resolves.toBe('written')
    expect(await fs.readFile(path, 'latin1')).toBe(held)
    expect([lock.name, held]).toEqual(['agent', expect.stringContaining(`pid ${process.pid} `)])
  })

  it('touches nothing when the same bytes are there already, but proves them', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    await writeSample(store, 2)
    const prove = jest.fn(acceptAll)
    const before = await fs.stat(folder.path, { bigint: true })
    await expect(write(store, 2, 2, { prove })).resolves.toBe('unchanged')
    expect((await fs.stat(folder.path, { bigint: true })).mtimeNs).toBe(before.mtimeNs)
    expect(prove).toHaveBeenCalledTimes(1)
    await expect(write(store, 2, 2, { prove: () => Promise.reject(new Error('no')) })).rejects.toEqual(
      storeError('STORE_PROOF_FAILED'),
    )
    expect(new Uint8Array(await fs.readFile(join(folder.path, 'keyring.previous')))).toEqual(sampleKeyring(1))
  })

  it('refuses when the store does not hold what the caller thinks', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await expect(write(store, 2, 1)).rejects.toEqual(storeError('STORE_CHANGED', /was never written/))
    await writeSample(store, 1)
    await expect(write(store, 2, undefined)).rejects.toEqual(storeError('STORE_CHANGED'))
    await expect(write(store, 2, 9)).rejects.toEqual(storeError('STORE_CHANGED'))
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
    expect(await namesIn(folder.path)).toEqual(first)
  })

  it('refuses when the keyring changed during the proof, by a program without our lock', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    const path = join(folder.path, 'keyring')
    const prove = (): Promise<void> => fs.writeFile(path, sampleKeyring(7))
    await expect(write(store, 2, 1, { prove })).rejects.toEqual(storeError('STORE_CHANGED'))
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(7))
    await fs.unlink(path)
    const restore = (): Promise<void> => fs.writeFile(path, sampleKeyring(8), { mode: 0o600 })
    await expect(write(store, 2, undefined, { prove: restore })).rejects.toEqual(storeError('STORE_CHANGED'))
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(8))
    expect(await namesIn(folder.path)).toEqual(first)
  })

  it('proves the bytes that the disk gives back, before anything is replaced', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    const prove = async (bytes: Uint8Array): Promise<void> => {
      expect(bytes).toEqual(sampleKeyring(2))
      await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
      expect((await namesIn(folder.path)).filter(name => name.startsWith('keyring.next.'))).toHaveLength(1)
    }
    await expect(write(store, 2, 1, { prove })).resolves.toBe('written')
  })

  it('keeps the old keyring and the cause when the proof fails', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    const cause = new Error('TPM_RC_POLICY_FAIL')
    const failure: unknown = await write(store, 2, 1, { prove: () => Promise.reject(cause) }).catch((e: unknown) => e)
    expect(failure).toEqual(storeError('STORE_PROOF_FAILED', /\(TPM_RC_POLICY_FAIL\)$/))
    expect(failure).toHaveProperty('cause', cause)
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
    expect(await namesIn(folder.path)).toEqual(first)
    await expect(write(store, 2, 1)).resolves.toBe('written')
  })

  it('passes a cancellation on as it is, during the proof and before, and leaves the store as it was', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    const reason = new Error('shutting down')
    const late = new AbortController()
    const prove = (): Promise<void> => {
      late.abort(reason)
      return Promise.reject(new Error('the TPM call was given up'))
    }
    await expect(write(store, 2, 1, { prove, signal: late.signal })).rejects.toBe(reason)
    const between = new AbortController()
    const proveThenAbort = (): Promise<void> => {
      between.abort(reason)
      return Promise.resolve()
    }
    await expect(write(store, 2, 1, { prove: proveThenAbort, signal: between.signal })).rejects.toBe(reason)
    await expect(write(store, 2, 1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
    expect(await namesIn(folder.path)).toEqual(first)
  })

  it('refuses bytes that are empty, too large or no keyring, before it touches the folder', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    const cases: [Uint8Array, string][] = [
      [new Uint8Array(), 'STORE_KEYRING_EMPTY'],
      [new Uint8Array(KEYRING_MAX_BYTES + 1), 'STORE_TOO_LARGE'],
      [new Uint8Array(100), 'STORE_KEYRING_INVALID'],
    ]
    for (const [bytes, code] of cases)
      await expect(write(store, 1, undefined, { bytes })).rejects.toEqual(storeError(code))
    expect(await namesIn(folder.path)).toEqual([])
  })

  it('removes leftovers of killed writers, and only those', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    const foreign = ['keyring.next.0123.tmp', 'keyring.next.0123456789ABCDEF.tmp', 'keyring.other.0123456789abcdef.tmp']
    for (const name of [tempName('first'), tempName('next'), tempName('previous'), ...foreign]) {
      await fs.writeFile(join(folder.path, name), 'half a key')
    }
    await store.readKeyring()
    expect(await namesIn(folder.path)).toHaveLength(9)
    await writeSample(store, 2)
    expect(await namesIn(folder.path)).toEqual([...whole, ...foreign].sort())
  })

  it('syncs each file before its rename, and the folder after', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    const calls: string[] = []
    const shorten = (path: string): string =>
      (path.split('/').pop() ?? '').replace(/\.[0-9a-f]{16}\.tmp$/, '.tmp').replace(/^seal-store-.*/, 'folder')
    const prototype = await fileHandlePrototype()
    const sync: unknown = Reflect.get(prototype, 'sync')
    if (typeof sync !== 'function') throw new TypeError('open files have no sync')
    jest.spyOn(prototype, 'sync').mockImplementation(function (this: fs.FileHandle) {
      calls.push(`sync ${shorten(readlinkSync(`/proc/self/fd/${this.fd}`))}`)
      return Reflect.apply(sync, this, []) as Promise<void>
    })
    // The module itself: what `import * as` gives here is a copy, which the code under test does not see.
    const real = jest.requireActual<typeof fs>('node:fs/promises')
    const rename = real.rename
    jest.spyOn(real, 'rename').mockImplementation((from, to) => {
      calls.push(`rename ${shorten(String(from))} ${shorten(String(to))}`)
      return rename(from, to)
    })
    await writeSample(store, 2)
    expect(calls).toEqual([
      'sync keyring.next.tmp',
      'sync keyring.previous.tmp',
      'rename keyring.previous.tmp keyring.previous',
      'rename keyring.next.tmp keyring',
      'sync folder',
    ])
  })

  it.each([
    ['ENOSPC', 'STORE_DISK_FULL'],
    ['EDQUOT', 'STORE_DISK_FULL'],
    ['EIO', 'STORE_WRITE_FAILED'],
  ])('leaves the store as it was when fsync says %s, which file systems may do late', async (errno, code) => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await writeSample(store, 1)
    const spy = jest.spyOn(await fileHandlePrototype(), 'sync').mockRejectedValue(systemError(errno))
    await expect(write(store, 2, 1)).rejects.toEqual(storeError(code, /nothing was replaced/))
    spy.mockRestore()
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
    expect(await namesIn(folder.path)).toEqual(first)
    await expect(write(store, 2, 1)).resolves.toBe('written')
  })

  it('says that the new keyring may not last when only the folder cannot be synced', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    const prototype = await fileHandlePrototype()
    // The agent's lock file, the keyring, and then the folder.
    jest
      .spyOn(prototype, 'sync')
      .mockResolvedValueOnce()
      .mockResolvedValueOnce()
      .mockRejectedValueOnce(systemError('EIO'))
    await expect(write(store, 1, undefined)).rejects.toEqual(storeError('STORE_WRITE_FAILED', /may not survive/))
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
    await expect(write(store, 1, 1)).resolves.toBe('unchanged')
  })

  it('loses no update when three processes compete', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await using one = startChild()
    await using two = startChild()
    await using three = startChild()
    const order = { op: 'increment', path: folder.path, times: 8 } as const
    const answers = await Promise.all([one.order(order), two.order(order), three.order(order)])
    expect(answers.map(answer => answer.kind)).toEqual(['done', 'done', 'done'])
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(24))
  })
})
