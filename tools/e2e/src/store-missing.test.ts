import { rename, rm } from 'node:fs/promises'
import { type OpenBaoNode } from '@sealwright/testing-rig'
import { BOOTSTRAP_EXIT, expectBootstraps, expectRefusal, NO_SEAL_KEY } from './bootstrap-run.ts'
import { expectOpensByItself, expectSealWorks, waitUntilFailing } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { waitForAgentLine, waitForOpenBaoLog } from './node-log.ts'
import { INITIALISE, newNodeWithOpenBao, openNode, type ServedNode } from './served-node.ts'
import { storeEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()

/** Starts agent and OpenBao of a node that was never bootstrapped. */
async function startUninitialised({ node, ports }: ServedNode): Promise<OpenBaoNode> {
  // Puts the connector in place all the same.
  expectRefusal(await node.bootstrap(NO_SEAL_KEY), 'BOOTSTRAP_KEY_MISSING', BOOTSTRAP_EXIT.sealKey)
  await node.startAgent()
  const bao = await node.startOpenBao({ ...ports, until: 'uninitialised' })
  await waitUntilFailing(node, 'STORE_NOT_FOUND')
  return bao
}

describe('a seal store that is missing', () => {
  it('keeps nobody from starting: OpenBao answers, and can be initialised once bootstrap-init has run', async () => {
    const served = await newNodeWithOpenBao(scope)
    const { node, sealKeyPath } = served
    const bao = await startUninitialised(served)
    const pids = { agent: node.agent().pid, openBao: bao.pid() }

    await expectBootstraps(node, sealKeyPath, 'created')
    await waitForAgentLine(node, { msg: 'keyring opened' })

    expect(await bao.request(INITIALISE)).toMatchObject({ status: 200 })
    await expectOpensByItself(node)
    expect({ agent: node.agent().pid, openBao: bao.pid() }).toEqual(pids)
  })

  it('lets an initialisation that comes too early wait for the bootstrap', async () => {
    const served = await newNodeWithOpenBao(scope)
    const { node, sealKeyPath } = served
    const bao = await startUninitialised(served)
    const bootstrapMeanwhile = async (): Promise<void> => {
      // The last that OpenBao says before it asks its seal. Its raft storage is made by then, which it cannot do twice.
      await waitForOpenBaoLog(node, 'acquired HA initialization lock')
      await expectBootstraps(node, sealKeyPath, 'created')
    }

    const [initialised] = await Promise.all([bao.request({ ...INITIALISE, timeoutMs: 90_000 }), bootstrapMeanwhile()])

    expect(initialised).toMatchObject({ status: 200 })
    await expectOpensByItself(node)
  })

  it('is made anew from the keyring that OpenBao stored beside its root key, and nobody has to restart anything', async () => {
    const { node, sealKeyPath, rootToken } = await openNode(scope)
    await rm(sealKeyPath, { recursive: true })
    await cutPower(node)
    const { keyring: before } = await storeEntries(node.storePath)
    await rename(node.storePath, `${node.storePath}-away`)

    await boot(node)
    await expectOpensByItself(node)
    await waitForAgentLine(node, { msg: 'keyring stored' })
    const { keyring: after } = await storeEntries(node.storePath)
    expect(after?.hex).toBe(before?.hex)
    await expectSealWorks(node, rootToken)

    await cutPower(node)
    await boot(node)
    await expectOpensByItself(node)
  })
})
