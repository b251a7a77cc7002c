import { type SealedNode } from '@sealwright/testing-cluster'
import { readMetric } from './control-request.ts'
import { expectSealWorks } from './node-health.ts'
import { boot, killAgent } from './node-life.ts'
import { agentLines, waitForAgentLine, waitForOpenBaoLog } from './node-log.ts'
import { ALL_PROGRAMS, expectPrograms } from './node-programs.ts'
import { openProxiedNode } from './served-node.ts'
import { testScope } from './test-scope.ts'
import { type TpmProxy } from './tpm-proxy.ts'

/** What OpenBao says of a Decrypt whose agent died while it was under way. */
const CUT_OFF_DECRYPT = 'failed to decrypt keys from storage: rpc error: code = Unavailable'

const scope = testScope()
let proxy: TpmProxy
let node: SealedNode
let rootToken: string

beforeEach(async () => {
  ;({ node, rootToken, proxy } = await openProxiedNode(scope))
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
    await node.agent().waitFor(isDecryptUnderWay, { what: 'OpenBao to call Decrypt', timeoutMs: 60_000 })
    // One more round trip, since the call that follows the Type must have left OpenBao.
    await isDecryptUnderWay()
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

/** OpenBao asks for the type once after SetConfig, and again right before each Decrypt, which then waits for a seal. */
async function isDecryptUnderWay(): Promise<boolean> {
  const calls = 'sealwright_plugin_calls_total'
  const types = await readMetric(node, calls, 'method="Type",result="ok"')
  const refusals = await readMetric(node, calls, 'method="Decrypt",result="SEAL_NOT_OPEN"')
  return types - 1 > refusals
}

/** SIGKILL, a TPM that answers, and a new agent. */
async function killAndStartAgain(): Promise<void> {
  await killAgent(node)
  proxy.letPass()
  await node.startAgent()
}

async function expectOpenedWithoutRestart(): Promise<void> {
  const baoPid = node.openBao().pid()
  await node.openBao().waitFor('active')
  await expectSealWorks(node, rootToken)
  expect(node.openBao().pid()).toBe(baoPid)
  await expectPrograms(scope.folder.path, ...ALL_PROGRAMS)
}
