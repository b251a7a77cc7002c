import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { removeMember } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, bytesOf, enrolled, type Holding } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'

const WAIT_MS = 10_000
const PRIVATE = 0o700
const OPEN_TO_ALL = 0o755

let folder: TemporaryFolder
let seal: FakeSeal
let first: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  seal = fakeSeal()
  first = await begun([seal])
  node = testNode({ storePath: folder.join('seal'), seals: [seal] })
  await node.store(first.keyring)
  await node.tryToOpen()
  await node.settle()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

async function untilStored(): Promise<void> {
  await waitUntil(
    async () => {
      const stored = await node.stored()
      return stored !== undefined && Buffer.compare(stored, bytesOf(node.held())) === 0
    },
    { what: 'the store to have what is held', timeoutMs: WAIT_MS },
  )
}

async function untilToldOfTrouble(count = 1): Promise<void> {
  await waitUntil(() => node.notStored.length >= count, { what: 'trouble with the store', timeoutMs: WAIT_MS })
}

describe('trouble with the store', () => {
  it('is told when something was learned, and holds up nobody', async () => {
    await chmod(node.storePath, OPEN_TO_ALL)
    await node.absorb(bytesOf(ahead(first)))
    expect(node.held().current.number).toBe(2)
    await untilToldOfTrouble()
    expect(node.notStored[0]).toMatchObject({ code: 'STORE_UNSAFE_PERMISSIONS' })
    expect(await node.stored()).toEqual(bytesOf(first))
  })

  it('is mended with the next thing that is learned: nothing of before is missing then', async () => {
    await chmod(node.storePath, OPEN_TO_ALL)
    await node.absorb(bytesOf(ahead(first)))
    await untilToldOfTrouble()
    await chmod(node.storePath, PRIVATE)
    await node.absorb(bytesOf(await enrolled(first, [fakeSeal({ device: 'b' })])))
    await untilStored()
    const { generations, members } = await node.storedKeyring()
    expect([generations.length, members.length]).toEqual([2, 2])
  })

  it('is mended with the next probe, although that learns nothing', async () => {
    await chmod(node.storePath, OPEN_TO_ALL)
    await node.absorb(bytesOf(ahead(first)))
    await untilToldOfTrouble()
    await chmod(node.storePath, PRIVATE)
    await node.tryToOpen()
    await untilStored()
  })

  it('stops a change before it is used', async () => {
    await chmod(node.storePath, OPEN_TO_ALL)
    await expect(node.rotate()).rejects.toMatchObject({ code: 'STORE_UNSAFE_PERMISSIONS' })
    expect(node.held().current.number).toBe(1)
    await chmod(node.storePath, PRIVATE)
    expect(await node.stored()).toEqual(bytesOf(first))
    await node.rotate()
    expect((await node.storedKeyring()).generations).toHaveLength(2)
  })

  it('does not count against a seal that gave what was asked of it', async () => {
    await chmod(node.storePath, OPEN_TO_ALL)
    await expect(node.rotate()).rejects.toMatchObject({ code: 'STORE_UNSAFE_PERMISSIONS' })
    expect(node.custody.holder.health('tpm')).toMatchObject({ kind: 'healthy' })
  })
})

describe('a store that was lost while its keyring is held', () => {
  it('is written anew with the next thing that is learned', async () => {
    await rm(node.storePath, { recursive: true })
    await node.absorb(bytesOf(ahead(first)))
    await untilStored()
  })

  it('is written anew by the next change', async () => {
    await rm(node.storePath, { recursive: true })
    await node.rotate()
    expect(await node.storedKeyring()).toEqual(node.held().keyring)
  })

  it('is written anew with the next probe', async () => {
    await rm(node.storePath, { recursive: true })
    await node.tryToOpen()
    await untilStored()
  })
})

describe('a keyring that no seal of this node opens any more', () => {
  it('is held if an operator brings it, but never takes the place of one in the store that opens', async () => {
    const other = fakeSeal({ device: 'b' })
    const both = await enrolled(first, [other])
    const [member] = both.keyring.records.filter(record =>
      seal.enrolledDevices(first.keyring).some(({ memberId }) => Buffer.compare(memberId, record.memberId) === 0),
    )
    if (member === undefined) throw new Error('our seal has a record')
    const without = removeMember({ ...both, place: member })
    await node.custody.learn(bytesOf({ keyring: without }), new AbortController().signal)
    expect(node.held().keyring.records).toHaveLength(1)
    await untilToldOfTrouble()
    expect(node.notStored[0]).toMatchObject({ code: 'STORE_PROOF_FAILED' })
    expect(await node.stored()).toEqual(bytesOf(first))
    const again = testNode({ storePath: node.storePath, seals: [seal] })
    await node[Symbol.asyncDispose]()
    await again.tryToOpen()
    expect(again.held().current.number).toBe(1)
    await again[Symbol.asyncDispose]()
  })
})

describe('a store that somebody else works on', () => {
  it('is waited for while another process holds its lock', async () => {
    const lockPath = join(node.storePath, 'writer.lock')
    const other = spawn('flock', [lockPath, 'sh', '-c', 'echo held; read line'], { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(other.stdout, 'data')
    const askedBefore = seal.asked()
    let isDone = false
    const change = node.rotate().finally(() => {
      isDone = true
    })
    await waitUntil(() => seal.asked() > askedBefore, { what: 'the change to begin', timeoutMs: WAIT_MS })
    expect(isDone).toBe(false)
    expect(node.held().current.number).toBe(1)
    other.stdin.end('\n')
    await once(other, 'close')
    expect((await change).current.number).toBe(2)
  })

  it('loses nothing of what another process wrote there', async () => {
    const theirs = await enrolled(ahead(first), [fakeSeal({ device: 'b' })])
    await node.store(theirs.keyring)
    await node.absorb(bytesOf(await enrolled(first, [fakeSeal({ device: 'c' })])))
    // What they wrote is ahead of what is held: a seal has to open it.
    await node.tryToOpen()
    await untilStored()
    const { generations, members } = await node.storedKeyring()
    expect([generations.length, members.length]).toEqual([2, 3])
  })

  it('unites a change with what another process wrote before it', async () => {
    await node.store((await enrolled(first, [fakeSeal({ device: 'b' })])).keyring)
    await node.rotate()
    const stored = await node.storedKeyring()
    expect([stored.generations.length, stored.members.length]).toEqual([2, 2])
    expect(stored).toEqual(node.held().keyring)
  })

  it('is never overwritten if its keyring is of another cluster than the one that is held', async () => {
    const other = await begun([seal], 'another cluster')
    await rm(node.storePath, { recursive: true })
    await node.store(other.keyring)
    await node.absorb(bytesOf(ahead(first)))
    await untilToldOfTrouble()
    expect(node.notStored[0]).toMatchObject({ code: 'KEYRING_OTHER_CLUSTER' })
    await expect(node.rotate()).rejects.toMatchObject({ code: 'KEYRING_OTHER_CLUSTER' })
    await node.tryToOpen()
    expect(await node.stored()).toEqual(bytesOf(other))
    expect(node.held().keyring.clusterId).toEqual(first.keyring.clusterId)
  })

  it('is never overwritten if its keyring was changed by somebody without the key', async () => {
    const { keyring } = ahead(first)
    await node.store({ ...keyring, revision: 99 })
    const changed = await node.stored()
    await expect(node.rotate()).rejects.toMatchObject({ name: 'KeyringError' })
    await node.absorb(bytesOf(await enrolled(first, [fakeSeal({ device: 'b' })])))
    await untilToldOfTrouble()
    expect(await node.stored()).toEqual(changed)
  })
})
