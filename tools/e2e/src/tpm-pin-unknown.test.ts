import { programCommand, type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { startProcess } from '@sealwright/testing-rig'
import { expectOpensByItself, expectSealed, statusOf } from './node-health.ts'
import { boot, hangUp } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { openPinNode, PIN, PIN_IS_UNKNOWN, type PinFile, WRONG_PIN } from './pin-node.ts'
import { testScope } from './test-scope.ts'
import { TPM_CC_Unseal, type TpmProxy } from './tpm-proxy.ts'
import { lockoutCounter } from './tpm-tools.ts'

const scope = testScope()
let proxy: TpmProxy
let node: SealedNode
let config: SealedNodeConfig
let pinFile: PinFile

beforeEach(async () => {
  ;({ node, config, proxy, pinFile } = await openPinNode(scope))
})

describe('a PIN of which nobody knows what became', () => {
  it('is not sent again when its refusal got lost on the way, since the TPM may have counted it', async () => {
    await pinFile.write(WRONG_PIN)
    proxy.setFateOf(TPM_CC_Unseal, { kind: 'cut' })

    await expectSentOnce(async () => {
      await boot(node)
      for (let asked = 0; asked < 4; asked++) await expectSealed(node, PIN_IS_UNKNOWN)
    })
    await expect(lockoutCounter(node.tpm)).resolves.toBe(1)

    proxy.letPass()
    await pinFile.write(PIN)
    await hangUp(node)
    await expectOpensByItself(node)
  })

  it('is not sent again when the answer came too late, and opens once the operator says so', async () => {
    await node.writeConfig({ ...config, seal: { ...config.seal, deadlineMs: 2_500 } })
    proxy.setFateOf(TPM_CC_Unseal, { kind: 'swallow' })

    await expectSentOnce(async () => {
      await boot(node)
      for (let asked = 0; asked < 4; asked++) await expectSealed(node, PIN_IS_UNKNOWN)
    })

    proxy.letPass()
    await hangUp(node)
    await expectOpensByItself(node)
  })

  it('is not forgotten when whoever asked for the try went away meanwhile', async () => {
    await boot(node)
    await expectOpensByItself(node)
    proxy.setFateOf(TPM_CC_Unseal, { kind: 'swallow' })

    await expectSentOnce(async () => {
      await askAndGoAway()
      await waitForAgentLine(node, { msg: 'seal failed', code: PIN_IS_UNKNOWN.code })
      proxy.letPass()
      await expect(statusOf(node)).resolves.toMatchObject({
        verdict: { kind: 'at-risk' },
        state: 'open',
        seals: [{ health: { code: PIN_IS_UNKNOWN.code, retrying: false } }],
      })
    })

    await hangUp(node)
    await expectOpensByItself(node)
  })
})

async function expectSentOnce(act: () => Promise<void>): Promise<void> {
  const before = proxy.countOf(TPM_CC_Unseal)
  await act()
  expect(proxy.countOf(TPM_CC_Unseal) - before).toBe(1)
}

/** `sealctl status`, killed while the TPM works for it. */
async function askAndGoAway(): Promise<void> {
  const before = proxy.countOf(TPM_CC_Unseal)
  const { command, args } = programCommand('sealctl')
  await using asking = await startProcess({
    name: 'sealctl',
    command,
    args: [...args, 'status', '--socket', node.controlSocketPath],
    logDirectory: scope.folder.path,
  })
  await asking.waitFor(() => proxy.countOf(TPM_CC_Unseal) > before, { what: 'the PIN to be sent', timeoutMs: 30_000 })
  asking.kill('SIGKILL')
  await asking.exited
}
