import { type SealedNode } from '@sealwright/testing-cluster'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import {
  agentLines,
  boot,
  cutPower,
  expectOpensByItself,
  expectSealed,
  openNode,
  type OpenedNode,
  statusOf,
  storeBytes,
  waitForAgentLine,
} from './tpm-node.ts'
import { proxyTpm, TPM_CC_CreatePrimary, TPM_CC_Unseal, type TpmProxy } from './tpm-proxy.ts'
import { lockoutCounter } from './tpm-tools.ts'

/** "Not now, ask again" (TPM 2.0 Part 2, clause 6.6.3). */
const TPM_RC_RETRY = 0x922
/** Long enough for a slow machine, short enough to be waited for. */
const DEADLINE_MS = 2_500
/** More than a TPM has slots for objects, so that leftovers of broken exchanges would be noticed. */
const BROKEN_EXCHANGES = 4

let folder: TemporaryFolder
let proxy: TpmProxy
let node: SealedNode
let openbao: OpenedNode['openbao']
let before: Awaited<ReturnType<typeof storeBytes>>

beforeEach(async () => {
  folder = await temporaryFolder()
  proxy = await proxyTpm(folder.join('proxy.sock'), folder.join('tpm/tpm.sock'))
  ;({ node, openbao } = await openNode(folder.path, {
    tpmSocketPath: proxy.socketPath,
    seal: { deadlineMs: DEADLINE_MS },
  }))
  before = await storeBytes(node)
  await cutPower(node)
})

afterEach(async () => {
  const after = { store: await storeBytes(node), lockoutCounter: await lockoutCounter(node.tpm) }
  await node[Symbol.asyncDispose]()
  await proxy[Symbol.asyncDispose]()
  await folder.remove()
  expect(after).toEqual({ store: before, lockoutCounter: 0 })
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
    await node.writeConfig({ tpmSocketPath: proxy.socketPath, openbao })
    proxy.setFate(code => (code === TPM_CC_Unseal ? { kind: 'refuse', rc: TPM_RC_RETRY } : { kind: 'pass' }))
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_BUSY',
      message: 'the TPM was still busy with TPM_RC_RETRY (0x922) after 20 attempts at TPM2_Unseal',
      retrying: true,
    })
    proxy.setFate(() => ({ kind: 'pass' }))
    await expectOpensByItself(node)
  })
})

describe('a TPM that goes away or hangs', () => {
  it.each([
    ['at TPM2_CreatePrimary', TPM_CC_CreatePrimary],
    ['at TPM2_Unseal', TPM_CC_Unseal],
  ])('is called gone, keeps no slot taken, and opens by itself when it is back (cut %s)', async (_, commandCode) => {
    proxy.setFate(code => ({ kind: code === commandCode ? 'cut' : 'pass' }))
    const tries = proxy.countOf(commandCode)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_GONE',
      message: `the TPM at unix:${proxy.socketPath} closed the connection before it had answered`,
      retrying: true,
    })
    await node.agent().waitFor(() => proxy.countOf(commandCode) - tries >= BROKEN_EXCHANGES, {
      what: 'more broken exchanges than there are slots',
      timeoutMs: 20_000,
    })
    proxy.setFate(() => ({ kind: 'pass' }))
    await expectOpensByItself(node)
    expect(agentLines(node, { code: 'TPM_NO_SPACE' })).toEqual([])
  })

  it('is given up at the deadline when it swallows a command, and opens by itself when it answers again', async () => {
    proxy.setFate(code => ({ kind: code === TPM_CC_Unseal ? 'swallow' : 'pass' }))
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_TIMEOUT',
      message: `waiting for the answer to TPM2_Unseal took longer than ${DEADLINE_MS} ms`,
      retrying: true,
    })
    const { tookMs } = await waitForAgentLine(node, { code: 'TPM_TIMEOUT' })
    expect(tookMs).toBeGreaterThan(DEADLINE_MS - 100)
    expect(tookMs).toBeLessThan(2 * DEADLINE_MS)
    proxy.setFate(() => ({ kind: 'pass' }))
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
    proxy.setFate(() => ({ kind: 'pass' }))
    await expectOpensByItself(node)
  })
})

describe('somebody on the bus who changes the answer to TPM2_Unseal', () => {
  it('is found out by a flipped bit and by an answer from before, opens nothing, and hinders no longer once gone', async () => {
    const FORGED = {
      code: 'TPM_RESPONSE_FORGED',
      message: 'the answer to TPM2_Unseal has a wrong HMAC: something between us and the TPM changes what it says',
      retrying: true,
    }
    let earlierAnswer: Buffer | undefined
    proxy.setFate(
      onUnseal(response => {
        earlierAnswer ??= Buffer.from(response)
        return withFlippedBit(response)
      }),
    )
    await boot(node)
    await expectSealed(node, FORGED)

    proxy.setFate(onUnseal(response => earlierAnswer ?? withFlippedBit(response)))
    const tries = proxy.countOf(TPM_CC_Unseal)
    await node.agent().waitFor(() => proxy.countOf(TPM_CC_Unseal) >= tries + 2, {
      what: 'two tries that got an answer from before',
      timeoutMs: 20_000,
    })
    await expectSealed(node, FORGED)
    expect(agentLines(node, { msg: 'keyring opened' })).toEqual([])

    proxy.setFate(() => ({ kind: 'pass' }))
    await expectOpensByItself(node)
  })
})

/** Offset of the encrypted key: header (10) ‖ parameter size (4) ‖ size of the TPM2B (2). */
const ENCRYPTED_KEY_OFFSET = 16

function withFlippedBit(response: Buffer): Buffer {
  const flipped = Buffer.from(response)
  flipped[ENCRYPTED_KEY_OFFSET] = (flipped[ENCRYPTED_KEY_OFFSET] ?? 0) ^ 1
  return flipped
}

function onUnseal(forge: (response: Buffer) => Buffer) {
  return (commandCode: number) =>
    commandCode === TPM_CC_Unseal ? ({ kind: 'forge', forge } as const) : ({ kind: 'pass' } as const)
}
