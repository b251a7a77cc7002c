import { freePort, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { createSealedNode, type SealedNode } from '@sealwright/testing-cluster'
import { writeSealKey } from './seal-key.ts'

let folder: TemporaryFolder
let node: SealedNode

beforeEach(async () => {
  folder = await temporaryFolder()
  node = await createSealedNode({ name: 'solo', directory: folder.path })
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

describe('one node', () => {
  it('initialises OpenBao and opens it again after everything was killed', async () => {
    const bootstrap = await node.bootstrap(await writeSealKey(folder.path))
    expect(bootstrap).toMatchObject({ exitCode: 0, stderr: '' })
    await node.startAgent()
    const bao = await node.startOpenBao({ apiPort: await freePort(), clusterPort: await freePort() })
    const init = await bao.request({
      method: 'POST',
      path: 'sys/init',
      body: { recovery_shares: 1, recovery_threshold: 1 },
    })
    expect(init.status).toBe(200)
    await bao.waitFor('active')

    bao.kill()
    node.agent().kill('SIGKILL')
    await node.tpm.powerCycle()
    await bao.process().exited
    await node.startAgent()
    await bao.start({ until: 'active' })

    const status = await node.sealctl('status', '--json')
    expect(status.exitCode).toBe(0)
    expect(JSON.parse(status.stdout)).toMatchObject({ verdict: { kind: 'ready' }, state: 'open', sessions: 1 })
  })
})
