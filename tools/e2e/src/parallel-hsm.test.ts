import { expectSealWorks } from './node-health.ts'
import { hangUp } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { openParallelNode, type ParallelNode } from './parallel-node.ts'
import { expectOpenedBy, expectServes, knownStatus, restartAgent, waitForHealth } from './parallel-status.ts'
import { waitUntil } from '@sealwright/testing-rig'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const SEAL = 'hsm'
const WRONG_PIN = '00000000'
const PROBES = 2
const TIMEOUT_MS = 30_000
const { CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED } = {
  CKF_USER_PIN_FINAL_TRY: 0x20000,
  CKF_USER_PIN_LOCKED: 0x40000,
}

let parallel: ParallelNode

beforeAll(async () => {
  // The token is what this node prefers.
  parallel = await openParallelNode(scope, { seal: { priority: 9 }, hsm: { priority: 1 } })
})

beforeEach(async () => {
  await waitForHealth(parallel.node, SEAL, 'healthy')
})

/** What must be true of the node while its token does not open. */
async function expectUnharmed(code: string): Promise<void> {
  const { node, rootToken } = parallel
  await expectServes(node)
  await expectSealWorks(node, rootToken)
  const { exitCode, stdout } = await node.sealctl('status')
  expect(exitCode).toBe(3)
  expect(stdout).toContain(`seal ${SEAL} does not open: ${code}: `)
}

/** Waits until the agent has looked at its seals several times more. */
async function waitForProbes(): Promise<void> {
  const { node } = parallel
  for (let probes = 0; probes < PROBES; probes += 1) {
    const last = await lastProbe()
    await waitUntil(async () => (await lastProbe()) !== last, { what: 'one more probe', timeoutMs: TIMEOUT_MS })
  }
  async function lastProbe(): Promise<string | undefined> {
    return (await knownStatus(node)).seals.find(({ name }) => name === 'tpm')?.health.unwrappedAt
  }
}

describe('a token', () => {
  it('that is pulled out is missed by the next probe; another seal opens at the next start; it is found again by itself', async () => {
    const { node, hsm } = parallel
    await hsm.setPresent(false)
    await waitForHealth(node, SEAL, { code: 'PKCS11_TOKEN_NOT_FOUND' })
    await expectUnharmed('PKCS11_TOKEN_NOT_FOUND')
    await restartAgent(node)
    await expectOpenedBy(node, 'backup')
    await hsm.setPresent(true)
  })

  it('is sent a wrong PIN once: not by probes, by sealctl status or by a rotation, until SIGHUP; the right one works then', async () => {
    const { node, hsm } = parallel
    await hsm.writePin(WRONG_PIN)
    await restartAgent(node)
    const before = hsm.logins()
    const failed = await waitForAgentLine(node, { msg: 'seal failed', seal: SEAL })
    expect(failed).toMatchObject({ code: 'PKCS11_PIN_WRONG' })
    await expectOpenedBy(node, 'backup')
    await waitForProbes()
    await expectUnharmed('PKCS11_PIN_WRONG')
    expect(await node.sealctl('rotate', '--json')).toMatchObject({ exitCode: 0 })
    await waitForProbes()
    expect(hsm.logins() - before).toBe(1)
    const health = await waitForHealth(node, SEAL, { code: 'PKCS11_PIN_WRONG' })
    expect(health).toMatchObject({ retrying: false })

    // The operator asks for it, and has mended nothing: the PIN is the same, so it is not sent.
    await hangUp(node)
    await waitForHealth(node, SEAL, { code: 'PKCS11_PIN_WRONG' })
    await waitForProbes()
    expect(hsm.logins() - before).toBe(1)

    await hsm.writePin(hsm.token.pin)
    await hangUp(node)
    await waitForHealth(node, SEAL, 'healthy')
  })

  it.each([
    ['one try left', CKF_USER_PIN_FINAL_TRY, 'PKCS11_PIN_HELD_BACK'],
    ['locked its PIN', CKF_USER_PIN_LOCKED, 'PKCS11_PIN_LOCKED'],
  ])('that has %s is sent none at all', async (_what, flags, code) => {
    const { node, hsm } = parallel
    await hsm.order(`flags 0x${flags.toString(16)}`)
    const before = hsm.logins()
    await restartAgent(node)
    await waitForHealth(node, SEAL, { code })
    await expectOpenedBy(node, 'backup')
    await waitForProbes()
    await expectUnharmed(code)
    expect(hsm.logins() - before).toBe(0)
    await hsm.order()
    await hangUp(node)
  })

  it('whose key was deleted says so; the node stays open, and another seal opens it at the next start', async () => {
    const { node, hsm } = parallel
    await hsm.deleteKey()
    await waitForHealth(node, SEAL, { code: 'PKCS11_KEY_NOT_FOUND' })
    await expectUnharmed('PKCS11_KEY_NOT_FOUND')
    await restartAgent(node)
    await waitForAgentLine(node, { msg: 'seal failed', seal: SEAL, code: 'PKCS11_KEY_NOT_FOUND' })
    await expectOpenedBy(node, 'backup')
  })
})
