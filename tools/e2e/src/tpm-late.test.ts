import { type SealedNode } from '@sealwright/testing-cluster'
import { waitUntil } from '@sealwright/testing-rig'
import { expectOpensByItself, expectSealed } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { agentLines, waitForAgentLine } from './node-log.ts'
import { openNode } from './served-node.ts'
import { storeEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'
import { lockoutCounter } from './tpm-tools.ts'

/** How late the TPM comes. */
const LATE_MS = 120_000
/** The agent looks again after 3 s at most and OpenBao after 5 s; the rest is for a machine that is slow and busy. */
const OPENS_WITHIN_MS = 40_000

const scope = testScope()
let node: SealedNode

beforeEach(async () => {
  ;({ node } = await openNode(scope))
})

describe('a TPM that comes two minutes after the node', () => {
  it('finds OpenBao answering all the time, and opens the node by itself with no restart of anything', async () => {
    const before = await storeEntries(node.storePath)
    await cutPower(node)
    await node.tpm.stop()

    await boot(node)
    const bootedAtMs = performance.now()
    const pids = { agent: node.agent().pid, openBao: node.openBao().pid() }

    await waitUntil(
      async signal => {
        const health = await node.openBao().request({ path: 'sys/health', signal })
        expect(health).toMatchObject({ status: 503, body: { initialized: true, sealed: true } })
        return performance.now() - bootedAtMs >= LATE_MS
      },
      { what: 'the end of the two minutes', timeoutMs: 2 * LATE_MS, intervalMs: 500 },
    )
    await expectSealed(node, {
      code: 'TPM_UNREACHABLE',
      message: `no TPM answers at unix:${node.tpm.socketPath}: check that it runs and that we may use it`,
      retrying: true,
    })
    // Two minutes of tries, at least every 3 s: logged once a minute, not forty times.
    expect(agentLines(node, { msg: 'seal failed' }).length).toBeLessThanOrEqual(3)

    await node.tpm.start()
    const cameAtMs = performance.now()
    await waitForAgentLine(node, { msg: 'keyring opened' })
    const openedAfterMs = Math.round(performance.now() - cameAtMs)
    await node.openBao().waitFor('active')
    const activeAfterMs = Math.round(performance.now() - cameAtMs)
    process.stdout.write(
      `TPM came: keyring opened after ${openedAfterMs} ms, OpenBao active after ${activeAfterMs} ms\n`,
    )
    expect(activeAfterMs).toBeLessThan(OPENS_WITHIN_MS)

    await expectOpensByItself(node)
    expect({ agent: node.agent().pid, openBao: node.openBao().pid() }).toEqual(pids)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)
  })
})
