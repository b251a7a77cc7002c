import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type SealedNode } from '@sealwright/testing-cluster'
import { BOOTSTRAP_EXIT, expectBootstraps, expectRefusal } from './bootstrap-run.ts'
import { waitUntilFailing, waitUntilOpen } from './node-health.ts'
import { newNode } from './served-node.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'
import { storeEntries, useStore } from './store-files.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()
let disk: SmallDisk
let node: SealedNode
let sealKeyPath: string
let store: string

beforeEach(async () => {
  // Before the node, so that it is unmounted after all that uses it has ended.
  disk = scope.use(await mountSmallDisk(scope.folder.join('disk')))
  ;({ node, sealKeyPath } = await newNode(scope))
  store = join(disk.path, 'seal')
  await useStore(node, store)
})

describe('the disk of a seal store', () => {
  it('is full: a new node gets no store, a bootstrapped one keeps its own and opens, and all goes on once there is space', async () => {
    await disk.fill()
    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_DISK_FULL', BOOTSTRAP_EXIT.store)
    expect(existsSync(store)).toBe(false)
    await disk.free()
    await expectBootstraps(node, sealKeyPath, 'created')
    const before = await storeEntries(store)

    await disk.fill()
    await expectBootstraps(node, sealKeyPath, 'unchanged')
    // The first agent that ever runs here.
    await expectAgentOpens()
    await node.tpm.replace()
    expectRefusal(await node.bootstrap(sealKeyPath, ['--new-tpm']), 'STORE_DISK_FULL', BOOTSTRAP_EXIT.store)
    expect(await storeEntries(store)).toEqual(before)

    await disk.free()
    await expectBootstraps(node, sealKeyPath, 'extended', ['--new-tpm'])
    await expectAgentOpens()
  })

  it('is read-only: a new node gets no store, a bootstrapped one keeps its own and opens, and all goes on once it is not', async () => {
    await disk.setReadOnly(true)
    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_READ_ONLY', BOOTSTRAP_EXIT.store)
    await disk.setReadOnly(false)
    await expectBootstraps(node, sealKeyPath, 'created')
    const before = await storeEntries(store)

    await disk.setReadOnly(true)
    await expectBootstraps(node, sealKeyPath, 'unchanged')
    // The first agent that ever runs here.
    await expectAgentOpens()
    await node.tpm.replace()
    expectRefusal(await node.bootstrap(sealKeyPath, ['--new-tpm']), 'STORE_READ_ONLY', BOOTSTRAP_EXIT.store)
    expect(await storeEntries(store)).toEqual(before)

    await disk.setReadOnly(false)
    await expectBootstraps(node, sealKeyPath, 'extended', ['--new-tpm'])
    await expectAgentOpens()
  })

  it('is read-only and has lost the lock file of the agent: the agent waits until it can make one', async () => {
    await expectBootstraps(node, sealKeyPath, 'created')
    await rm(join(store, 'agent.lock'))
    await disk.setReadOnly(true)
    await node.startAgent()
    await waitUntilFailing(node, 'STORE_READ_ONLY')

    await disk.setReadOnly(false)
    await waitUntilOpen(node)
    await node.agent().stop()
  })
})

/** One whole life of an agent, which leaves the store alone. */
async function expectAgentOpens(): Promise<void> {
  await node.startAgent()
  await waitUntilOpen(node)
  await node.agent().stop()
}
