import { chmod, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeKeyring, type Keyring, KeyringError, OpenKeyring } from '@sealwright/keyring'
import { openKeyringStore } from '@sealwright/node-seals'
import { type StoreError } from '@sealwright/seal-store'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { fakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, bytesOf, enrolled, type Holding } from '../testing/keyrings.ts'
import { type StoreKeeper, storeKeeper, type StoreKeeperDependencies } from './store-keeper.ts'

const { signal } = new AbortController()

let folder: TemporaryFolder
let path: string
let first: Holding
let held: OpenKeyring | undefined
let kept: Keyring[]
let failed: (KeyringError | StoreError)[]

beforeEach(async () => {
  folder = await temporaryFolder()
  path = folder.join('seal')
  first = await begun([fakeSeal()])
  held = opened(first)
  kept = []
  failed = []
})

afterEach(async () => {
  await folder.remove()
})

function opened({ keyring, sealKeys }: Holding): OpenKeyring {
  return OpenKeyring.from(keyring, sealKeys)
}

function keeperOf(change: Partial<StoreKeeperDependencies> = {}): StoreKeeper {
  return storeKeeper({
    path,
    held: () => held,
    merge: stored => {
      held = held?.mergedWith(stored)
    },
    prove: () => Promise.resolve(),
    onKept: keyring => {
      kept.push(keyring)
    },
    onFailed: error => failed.push(error),
    ...change,
  })
}

async function store(keyring: Keyring): Promise<void> {
  await using opening = await openKeyringStore(path, { create: true })
  const expectedCurrent = await opening.readKeyring()
  await opening.writeKeyring({
    ...{ bytes: bytesOf({ keyring }), expectedCurrent, signal },
    prove: () => Promise.resolve(),
  })
}

async function stored(): Promise<Uint8Array> {
  return Uint8Array.from(await readFile(join(path, 'keyring')))
}

describe('the keeper of the store', () => {
  it('makes the store where there is none, and touches nothing where nothing is new', async () => {
    const keeper = keeperOf({
      prove: () => (kept.length > 0 ? Promise.reject(new Error('asked again')) : Promise.resolve()),
    })
    await keeper.keep(signal)
    expect(await stored()).toEqual(bytesOf(first))
    await keeper.keep(signal)
    expect(kept).toEqual([first.keyring])
  })

  it('makes no store while nothing is held', async () => {
    held = undefined
    await keeperOf().keep(signal)
    expect(await readdir(folder.path)).toEqual([])
  })

  it('unites what is held with what is stored, in both places', async () => {
    const theirs = await enrolled(first, [fakeSeal({ device: 'b' })])
    await store(theirs.keyring)
    held = opened(ahead(first))
    await keeperOf().keep(signal)
    const keyring = decodeKeyring(await stored())
    expect([keyring.generations.length, keyring.members.length]).toEqual([2, 2])
    expect(held.keyring).toEqual(keyring)
  })

  it('has what is read back proven, and keeps the store as it was if that fails', async () => {
    await store(first.keyring)
    held = opened(ahead(first))
    const proven: Keyring[] = []
    const keeper = keeperOf({
      prove: keyring => {
        proven.push(keyring)
        return proven.length === 1
          ? Promise.reject(new KeyringError('KEYRING_NO_WAY_IN', 'no seal'))
          : Promise.resolve()
      },
    })
    await keeper.keep(signal)
    expect(failed).toMatchObject([{ code: 'STORE_PROOF_FAILED' }])
    expect([await stored(), proven]).toEqual([bytesOf(first), [held.keyring]])
    await keeper.keep(signal)
    expect(await stored()).toEqual(bytesOf(held))
  })

  it('tells of trouble with the store, and mends it with the next call', async () => {
    await store(first.keyring)
    held = opened(ahead(first))
    await chmod(path, 0o755)
    const keeper = keeperOf()
    await keeper.keep(signal)
    expect(failed).toMatchObject([{ code: 'STORE_UNSAFE_PERMISSIONS' }])
    await chmod(path, 0o700)
    await keeper.keep(signal)
    expect(failed).toHaveLength(1)
    expect(await stored()).toEqual(bytesOf(held))
  })

  it.each<[string, string, () => Promise<Keyring>]>([
    [
      'is of another cluster',
      'KEYRING_OTHER_CLUSTER',
      async () => (await begun([fakeSeal()], 'another cluster')).keyring,
    ],
    ['is generations ahead', 'KEYRING_KEY_UNKNOWN', () => Promise.resolve(ahead(first).keyring)],
    ['has a MAC that does not fit', 'KEYRING_AUTH_FAILED', () => Promise.resolve({ ...first.keyring, revision: 9 })],
  ])('never overwrites a keyring that %s', async (_, code, make) => {
    const keyring = await make()
    await store(keyring)
    await keeperOf().keep(signal)
    expect(failed).toMatchObject([{ code }])
    expect(await stored()).toEqual(bytesOf({ keyring }))
  })

  it('throws what is a bug', async () => {
    const bug = keeperOf({
      held: () => {
        throw new RangeError('a bug')
      },
    })
    await expect(bug.keep(signal)).rejects.toThrow('a bug')
    expect(failed).toEqual([])
  })

  it('ends with the signal of its caller, and does not call that trouble', async () => {
    const stop = new AbortController()
    const keeper = keeperOf({
      prove: () => {
        stop.abort(new Error('enough'))
        return Promise.reject(new Error('whatever'))
      },
    })
    await expect(keeper.keep(stop.signal)).rejects.toThrow('enough')
    expect(failed).toEqual([])
    expect(await readdir(path)).not.toContain('keyring')
  })

  it('writes one after another: the last call has the last word', async () => {
    const keeper = keeperOf()
    let next = first
    const keeps = Array.from({ length: 5 }, () => {
      next = ahead(next)
      held = opened(next)
      return keeper.keep(signal)
    })
    await Promise.all(keeps)
    expect(failed).toEqual([])
    expect(await stored()).toEqual(bytesOf(next))
  })
})

describe('a proposal', () => {
  it('is stored, united with what is held, and not yet held', async () => {
    await store(first.keyring)
    const before = opened(await enrolled(first, [fakeSeal({ device: 'b' })]))
    held = before
    await keeperOf().keep(signal, { keyring: opened(ahead(first)) })
    const { generations, members } = decodeKeyring(await stored())
    expect([generations.length, members.length]).toEqual([2, 2])
    expect(held).toBe(before)
  })

  it('has to pass its own proof too, and its trouble is thrown', async () => {
    await store(first.keyring)
    const keeper = keeperOf()
    const prove = (): Promise<void> => Promise.reject(new Error('of its own'))
    const keeping = keeper.keep(signal, { keyring: opened(ahead(first)), prove })
    await expect(keeping).rejects.toMatchObject({ code: 'STORE_PROOF_FAILED' })
    expect(failed).toEqual([])
    expect(await stored()).toEqual(bytesOf(first))
  })
})
