import { type SealedNode } from '@sealwright/testing-cluster'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { readMetric } from './control-request.ts'
import { expectPrograms } from './node-programs.ts'
import { bootstrapNode, endNode, expectSealWorks, initialise } from './served-node.ts'
import { agentLines, boot, cutPower, waitForAgentLine, waitForOpenBaoLog } from './tpm-node.ts'
import { proxyTpm, type TpmProxy } from './tpm-proxy.ts'

const TYPE_CALLS = ['sealwright_plugin_calls_total', 'method="Type",result="ok"'] as const
/** What OpenBao says of a Decrypt whose agent died while it was under way. */
const CUT_OFF_DECRYPT = 'failed to decrypt keys from storage: rpc error: code = Unavailable'

let folder: TemporaryFolder
let proxy: TpmProxy
let node: SealedNode
let token: string

beforeEach(async () => {
  folder = await temporaryFolder()
  proxy = await proxyTpm(folder.join('proxy.sock'), folder.join('tpm/tpm.sock'))
  const served = await bootstrapNode(folder.path, { tpmSocketPath: proxy.socketPath })
  node = served.node
  await node.startAgent()
  token = await initialise(served)
  await cutPower(node)
})

afterEach(async () => {
  await endNode(node)
  await proxy[Symbol.asyncDispose]()
  await folder.remove()
})

describe('an agent that is killed around a Decrypt', () => {
  it('loses nothing when it is killed before: OpenBao opens through the next agent, and is not restarted', async () => {
    proxy.setFate(() => ({ kind: 'swallow' }))
    await boot(node)
    // Answered: until OpenBao asks again, in 5 s, no call is under way.
    await waitForAgentLine(node, { msg: 'call failed', method: 'Decrypt', code: 'SEAL_NOT_OPEN' })
    await killAndStartAgain()
    await expectOpenedWithoutRestart()
  })

  it('loses nothing when it is killed during: OpenBao opens through the next agent, and is not restarted', async () => {
    proxy.setFate(() => ({ kind: 'swallow' }))
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'agent serves' })
    await node.openBao().start({ until: 'nothing' })
    // OpenBao asks for the type once after SetConfig, and again right before its Decrypt, which then waits for a seal.
    await node.agent().waitFor(async () => (await readMetric(node, ...TYPE_CALLS)) >= 2, {
      what: 'OpenBao to call Decrypt',
      timeoutMs: 30_000,
    })
    // One more round trip, since the call that follows the second Type must have left OpenBao.
    await readMetric(node, ...TYPE_CALLS)
    await killAndStartAgain()
    await waitForOpenBaoLog(node, CUT_OFF_DECRYPT)
    await expectOpenedWithoutRestart()
  })

  it('loses nothing when it is killed right after: OpenBao gets active through the next agent', async () => {
    await boot(node)
    await waitForOpenBaoLog(node, 'unsealed with stored key', 2)
    await killAndStartAgain()
    await expectOpenedWithoutRestart()
    expect(agentLines(node, { msg: 'call failed' })).toEqual([])
  })
})

/** SIGKILL, a TPM that answers, and a new agent. */
async function killAndStartAgain(): Promise<void> {
  node.agent().kill('SIGKILL')
  await node.agent().exited
  proxy.setFate(() => ({ kind: 'pass' }))
  await node.startAgent()
}

async function expectOpenedWithoutRestart(): Promise<void> {
  const baoPid = node.openBao().pid()
  await node.openBao().waitFor('active')
  await expectSealWorks(node, token)
  expect(node.openBao().pid()).toBe(baoPid)
  await expectPrograms(folder.path, 'agent', 'connector', 'openbao', 'tpm')
}
