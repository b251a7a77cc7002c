import { type SealedNode } from '@sealwright/testing-cluster'
import { expectOpensByItself, statusOf } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { openNode } from './served-node.ts'
import { storeEntries, type StoreEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'
import { isInLockout, lockoutCounter } from './tpm-tools.ts'

/** How far a start gets before the power goes. */
const STAGES: readonly (readonly [string, (node: SealedNode) => Promise<unknown>])[] = [
  ['as soon as the programs run', () => Promise.resolve()],
  ['when the agent serves', node => waitForAgentLine(node, { msg: 'agent serves' })],
  ['when the keyring is open', node => waitForAgentLine(node, { msg: 'keyring opened' })],
  ['when OpenBao has connected', node => waitForAgentLine(node, { msg: 'hostConnected' })],
  ['when OpenBao is active', node => node.openBao().waitFor('active')],
]
const POWER_CUTS = 10

const scope = testScope()
let node: SealedNode
let before: StoreEntries

beforeEach(async () => {
  ;({ node } = await openNode(scope))
  before = await storeEntries(node.storePath)
})

describe('a node that loses its power', () => {
  it('opens by itself after a power cycle, and after ten power cuts in a row at every stage of a start', async () => {
    await cutPower(node)
    await node.tpm.powerCycle()
    await boot(node)
    await expectOpensByItself(node)

    for (let cut = 0; cut < POWER_CUTS; cut++) {
      const [, reachStage] = STAGES[cut % STAGES.length] ?? []
      await reachStage?.(node)
      await Promise.all([node.tpm.kill(), cutPower(node)])
      await node.tpm.start()
      await boot(node)
    }

    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
    await expect(isInLockout(node.tpm)).resolves.toBe(false)
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)
  })

  it('keeps OpenBao open while only the TPM is gone, says that the next restart is at risk, and is ready when it is back', async () => {
    await node.tpm.kill()
    await expect(statusOf(node)).resolves.toMatchObject({
      exitCode: 3,
      verdict: { kind: 'at-risk', reasons: [expect.stringContaining('seal tpm does not open: TPM_UNREACHABLE: ')] },
      state: 'open',
      openbao: { state: 'active' },
      seals: [{ health: { code: 'TPM_UNREACHABLE', retrying: true } }],
    })
    await node.tpm.start()
    await expectOpensByItself(node)
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)
  })
})
