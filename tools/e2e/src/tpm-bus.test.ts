import { type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { expectOpensByItself, expectSealed, statusOf } from './node-health.ts'
import { boot } from './node-life.ts'
import { agentLines, waitForAgentLine } from './node-log.ts'
import { openProxiedNode } from './served-node.ts'
import { storeEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'
import { type Fate, TPM_CC_CreatePrimary, TPM_CC_Unseal, type TpmProxy } from './tpm-proxy.ts'
import { lockoutCounter } from './tpm-tools.ts'

/** "Not now, ask again" (TPM 2.0 Part 2, clause 6.6.3). */
const TPM_RC_RETRY = 0x922
/** Long enough for a slow machine, short enough to be waited for. */
const DEADLINE_MS = 2_500
/** How much later than its deadline a try may end on a machine that is busy. One without a deadline never ends. */
const SLACK_MS = 20_000
/** More than a TPM has slots for objects, so that leftovers of broken exchanges would be noticed. */
const BROKEN_EXCHANGES = 4
/** For several tries of the agent, at least one in three seconds. */
const TRIES_TIMEOUT_MS = 60_000

const scope = testScope()
let proxy: TpmProxy
let node: SealedNode
let config: SealedNodeConfig

beforeEach(async () => {
  ;({ node, config, proxy } = await openProxiedNode(scope, { seal: { deadlineMs: DEADLINE_MS } }))
  const before = await storeEntries(node.storePath)
  scope.afterwards(async () => {
    expect(await storeEntries(node.storePath)).toEqual(before)
    expect(await lockoutCounter(node.tpm)).toBe(0)
  })
})

describe('a busy TPM', () => {
  it('is asked again until it has time, and opens without a failure', async () => {
    let refusalsLeft = 5
    proxy.setFate(() => (refusalsLeft-- > 0 ? { kind: 'refuse', rc: TPM_RC_RETRY } : { kind: 'pass' }))

    await boot(node)
    await expectOpensByItself(node)

    expect(refusalsLeft).toBeLessThan(0)
    expect(agentLines(node, { msg: 'seal failed' })).toEqual([])
  })

  it('is called busy when it never has time, and opens by itself when it has', async () => {
    // The deadline that a node has by default: long enough for all attempts.
    await node.writeConfig({ ...config, seal: {} })
    proxy.setFateOf(TPM_CC_Unseal, { kind: 'refuse', rc: TPM_RC_RETRY })

    await boot(node)
    await expectSealed(node, {
      code: 'TPM_BUSY',
      message: 'the TPM was still busy with TPM_RC_RETRY (0x922) after 20 attempts at TPM2_Unseal',
      retrying: true,
    })

    proxy.letPass()
    await expectOpensByItself(node)
  })
})

describe('a TPM that goes away or hangs', () => {
  it.each([
    ['at TPM2_CreatePrimary', TPM_CC_CreatePrimary],
    ['at TPM2_Unseal', TPM_CC_Unseal],
  ])('is called gone, keeps no slot taken, and opens by itself when it is back (cut %s)', async (_, commandCode) => {
    proxy.setFateOf(commandCode, { kind: 'cut' })
    const tries = proxy.countOf(commandCode)

    await boot(node)
    await expectSealed(node, {
      code: 'TPM_GONE',
      message: `the TPM at unix:${proxy.socketPath} closed the connection before it had answered`,
      retrying: true,
    })
    await node.agent().waitFor(() => proxy.countOf(commandCode) - tries >= BROKEN_EXCHANGES, {
      what: 'more broken exchanges than there are slots',
      timeoutMs: TRIES_TIMEOUT_MS,
    })

    proxy.letPass()
    await expectOpensByItself(node)
    expect(agentLines(node, { code: 'TPM_NO_SPACE' })).toEqual([])
  })

  it('is given up at the deadline when it swallows a command, and opens by itself when it answers again', async () => {
    proxy.setFateOf(TPM_CC_Unseal, { kind: 'swallow' })

    await boot(node)
    await expectSealed(node, {
      code: 'TPM_TIMEOUT',
      message: `waiting for the answer to TPM2_Unseal took longer than ${DEADLINE_MS} ms`,
      retrying: true,
    })
    const { tookMs } = await waitForAgentLine(node, { code: 'TPM_TIMEOUT' })
    expect(tookMs).toBeGreaterThan(DEADLINE_MS - 100)
    expect(tookMs).toBeLessThan(DEADLINE_MS + SLACK_MS)

    proxy.letPass()
    await expectOpensByItself(node)
  })

  it('does not take away the key that is held, and is called at risk', async () => {
    await boot(node)
    await expectOpensByItself(node)

    proxy.setFate(() => ({ kind: 'swallow' }))
    await expect(statusOf(node)).resolves.toMatchObject({
      exitCode: 3,
      verdict: { kind: 'at-risk' },
      state: 'open',
      openbao: { state: 'active' },
      seals: [{ health: { code: 'TPM_TIMEOUT', retrying: true } }],
    })

    proxy.letPass()
    await expectOpensByItself(node)
  })
})

describe('a TPM without a PIN that gives one garbled answer', () => {
  it('is asked again, and the node opens by itself', async () => {
    let garbled = 0
    proxy.setFate(code => {
      if (code !== TPM_CC_CreatePrimary || garbled > 0) return { kind: 'pass' }
      garbled += 1
      return { kind: 'forge', forge: withGarbledTag }
    })

    await boot(node)
    await expectOpensByItself(node)

    expect(agentLines(node, { msg: 'seal failed' })).toMatchObject([{ code: 'TPM_PROTOCOL' }])
  })
})

describe('somebody on the bus who changes the answer to TPM2_Unseal', () => {
  const FORGED = {
    code: 'TPM_RESPONSE_FORGED',
    message: 'the answer to TPM2_Unseal has a wrong HMAC: something between us and the TPM changes what it says',
    retrying: true,
  }

  it('is found out by a flipped bit and by an answer from before, opens nothing, and hinders no longer once gone', async () => {
    let earlierAnswer: Buffer | undefined
    forgeUnseal(response => {
      earlierAnswer ??= Buffer.from(response)
      return withFlippedKey(response)
    })
    await boot(node)
    await expectSealed(node, FORGED)

    forgeUnseal(response => earlierAnswer ?? withFlippedKey(response))
    const tries = proxy.countOf(TPM_CC_Unseal)
    await node.agent().waitFor(() => proxy.countOf(TPM_CC_Unseal) >= tries + 2, {
      what: 'two tries that got an answer from before',
      timeoutMs: TRIES_TIMEOUT_MS,
    })
    await expectSealed(node, FORGED)
    expect(earlierAnswer).toBeDefined()
    expect(agentLines(node, { msg: 'keyring opened' })).toEqual([])

    proxy.letPass()
    await expectOpensByItself(node)
  })

  function forgeUnseal(forge: Extract<Fate, { kind: 'forge' }>['forge']): void {
    proxy.setFateOf(TPM_CC_Unseal, { kind: 'forge', forge })
  }
})

/** Offset of the encrypted key: header (10) ‖ parameter size (4) ‖ size of the TPM2B (2). */
const ENCRYPTED_KEY_OFFSET = 16

function withFlippedKey(response: Buffer): Buffer {
  return withFlippedBit(response, ENCRYPTED_KEY_OFFSET)
}

/** A tag that no response has; its size stays right, so that nobody waits for more. */
function withGarbledTag(response: Buffer): Buffer {
  return withFlippedBit(response, 0)
}

function withFlippedBit(response: Buffer, offset: number): Buffer {
  const flipped = Buffer.from(response)
  flipped[offset] = (flipped[offset] ?? 0) ^ 1
  return flipped
}
