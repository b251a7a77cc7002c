import { join } from 'node:path'
import { startOpenBao } from '@sealwright/testing-rig'
import { expectBootstraps } from './bootstrap-run.ts'
import { killAgent } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { INITIALISE, newNodeWithOpenBao } from './served-node.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()

describe('an OpenBao without plugins', () => {
  it('gets its static key from the agent at each start, once a seal has opened', async () => {
    const directory = join(scope.folder.path, 'keys')
    const served = await newNodeWithOpenBao(scope)
    const { node, ports, sealKeyPath } = served
    const { keyId } = await expectBootstraps(node, sealKeyPath, 'created')
    await node.writeConfig({ ...served.config, agent: { staticDelivery: { directory, current: keyId } } })
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'agent serves' })

    await using bao = await startOpenBao({
      ...{ directory: join(scope.folder.path, 'static'), nodeId: 'solo', ...ports },
      seal: { kind: 'static', keyFile: join(directory, 'current.fifo'), keyId },
    })
    expect(await bao.request(INITIALISE)).toMatchObject({ status: 200 })
    await bao.waitFor('active')
    await waitForAgentLine(node, { msg: 'seal key delivered', keyId })

    // The agent and its TPM come later than OpenBao, which waits at the pipe.
    bao.kill()
    await bao.process().exited
    await killAgent(node)
    const starting = bao.start({ until: 'active' })
    await node.startAgent()
    await starting
    await waitForAgentLine(node, { msg: 'seal key delivered', keyId })
  })
})
