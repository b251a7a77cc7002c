import { rename } from 'node:fs/promises'
import { openKeyringStore } from './store.ts'
import { StoreError } from '@sealwright/seal-store'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type AgentLock, agentLock } from './store-lock.ts'

const signal = new AbortController().signal
let folder: TemporaryFolder
let path: string
let locks: AsyncDisposableStack

beforeEach(async () => {
  folder = await temporaryFolder()
  path = folder.join('seal')
  locks = new AsyncDisposableStack()
})

afterEach(async () => {
  await locks.disposeAsync()
  await folder.remove()
})

async function makeStore(): Promise<void> {
  const store = await openKeyringStore(path, { create: true })
  await store[Symbol.asyncDispose]()
}

function lockOf(): AgentLock {
  return locks.use(agentLock(path))
}

async function outcomeOf(lock: AgentLock): Promise<unknown> {
  try {
    return await lock.ensure(signal)
  } catch (error) {
    if (error instanceof StoreError) return error.code
    throw error
  }
}

describe('the lock of an agent', () => {
  it('waits for the store to be there, is taken once, and keeps a second agent off', async () => {
    const lock = lockOf()
    expect(await outcomeOf(lock)).toBe(false)
    await makeStore()
    expect(await outcomeOf(lock)).toBe(true)
    expect(await outcomeOf(lock)).toBe(true)
    expect(await outcomeOf(lockOf())).toBe('STORE_IN_USE')
  })

  it('goes to the folder that lies at the path now, where the former one was moved away', async () => {
    await makeStore()
    const lock = lockOf()
    expect(await outcomeOf(lock)).toBe(true)
    await rename(path, folder.join('old'))
    expect(await outcomeOf(lock)).toBe(false)
    await makeStore()
    expect(await outcomeOf(lock)).toBe(true)
    expect(await outcomeOf(lockOf())).toBe('STORE_IN_USE')
  })

  it('is free again when the agent ends', async () => {
    await makeStore()
    await using lock = agentLock(path)
    await lock.ensure(signal)
    await lock[Symbol.asyncDispose]()
    expect(await outcomeOf(lockOf())).toBe(true)
  })
})
