import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { type SealedNode } from '@sealwright/testing-cluster'
import {
  agentLines,
  boot,
  cutPower,
  expectOpensByItself,
  expectSealed,
  openNode,
  storeBytes,
  waitForAgentLine,
} from './tpm-node.ts'
import { lockoutCounter } from './tpm-tools.ts'

/** How late the TPM comes. */
const LATE_MS = 120_000
/** The agent looks again after 3 s at most and OpenBao after 5 s; the rest is for a busy machine. */
const OPENS_WITHIN_MS = 20_000

let folder: TemporaryFolder
let node: SealedNode

beforeEach(async () => {
  folder = await temporaryFolder()
  ;({ node } = await openNode(folder.path))
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

describe('a TPM that comes two minutes after the node', () => {
  it('finds OpenBao answering all the time, and opens the node by itself with no restart of anything', async () => {
    const before = await storeBytes(node)
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
      { what: 'the end of the two minutes', timeoutMs: LATE_MS + 10_000, intervalMs: 500 },
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
    await expect(storeBytes(node)).resolves.toEqual(before)
  })
})
