import { type SealedNode } from '@sealwright/testing-cluster'
import { waitForAgentLine, waitForOpenBaoLog } from './node-log.ts'

/** What `sealctl status --json` tells of a node with one seal. */
export interface NodeStatus {
  readonly exitCode: number
  readonly verdict: { readonly kind: string; readonly reasons?: readonly string[] }
  readonly pid: number
  readonly state: string
  readonly sessions: number
  readonly keyring?: { readonly keyId: string; readonly clusterId: string; readonly generation: number }
  readonly openbao: { readonly state: string }
  readonly seals: readonly [
    {
      readonly health: {
        readonly state: string
        readonly code?: string
        readonly message?: string
        readonly retrying?: boolean
      }
    },
  ]
}

/** What an operator must be shown of a seal that does not open. */
export interface ExpectedFailure {
  readonly code: string
  /** A part of the message that no other failure has. */
  readonly message: string
  /** `false`: the agent waits for an operator. */
  readonly retrying: boolean
}

/** Runs `sealctl status --json`, which tries every seal for real unless told otherwise. */
export async function statusOf(node: SealedNode, ...args: readonly string[]): Promise<NodeStatus> {
  const { exitCode, stdout, stderr } = await node.sealctl('status', '--json', ...args)
  expect(stderr).toBe('')
  return { ...(JSON.parse(stdout) as Omit<NodeStatus, 'exitCode'>), exitCode }
}

/** Waits until the agent has the keyring open; OpenBao may not run. */
export async function waitUntilOpen(node: SealedNode): Promise<void> {
  await waitForAgentLine(node, { msg: 'keyring opened' })
  expect(await statusOf(node)).toMatchObject({ state: 'open', seals: [{ health: { state: 'healthy' } }] })
}

/** Waits until the agent, which runs and answers, says that its seal fails by this code; OpenBao may not run. */
export async function waitUntilFailing(node: SealedNode, code: string): Promise<void> {
  await waitForAgentLine(node, { msg: 'seal failed', seal: 'tpm', code })
  await waitForAgentLine(node, { msg: 'agent serves' })
  expect(await statusOf(node, '--no-probe')).toMatchObject({
    exitCode: 2,
    verdict: { kind: 'not-ready' },
    state: 'sealed',
    seals: [{ health: { state: 'failing', code, retrying: true } }],
  })
}

/** Waits until the seal fails as expected, and asserts what an operator is told: by the agent's log and by `sealctl status`. */
export async function expectSealFails(node: SealedNode, { code, message, retrying }: ExpectedFailure): Promise<void> {
  const line = await waitForAgentLine(node, { msg: 'seal failed', seal: 'tpm', code })
  expect(line).toMatchObject({ level: 'warn', reason: expect.stringContaining(message) as string })
  const status = await statusOf(node)
  expect(status).toMatchObject({
    exitCode: 2,
    verdict: { kind: 'not-ready' },
    state: 'sealed',
    seals: [{ health: { state: 'failing', code, retrying, message: expect.stringContaining(message) as string } }],
  })
  expect(status.verdict.reasons?.[0]).toBe('no seal has opened the keyring')
  expect(status.verdict.reasons).toContainEqual(expect.stringContaining(`seal tpm does not open: ${code}: `))
}

/** {@link expectSealFails}, and that OpenBao is up, sealed, asks again, and names the same code in its own log. */
export async function expectSealed(node: SealedNode, failure: ExpectedFailure): Promise<void> {
  await expectSealFails(node, failure)
  await waitForOpenBaoLog(node, `no seal opens the keyring (tpm: ${failure.code})`)
  await expect(node.openBao().request({ path: 'sys/health' })).resolves.toMatchObject({
    status: 503,
    body: { initialized: true, sealed: true },
  })
}

/** Waits until OpenBao is active and asserts that the seal opens for real and that nobody had to restart anything. */
export async function expectOpensByItself(node: SealedNode): Promise<void> {
  const pids = { agent: node.agent().pid, openBao: node.openBao().pid() }
  await node.openBao().waitFor('active')
  await expect(statusOf(node)).resolves.toMatchObject({
    exitCode: 0,
    verdict: { kind: 'ready' },
    pid: pids.agent,
    state: 'open',
    openbao: { state: 'active' },
    sessions: 1,
    seals: [{ health: { state: 'healthy' } }],
  })
  expect(node.agent().end()).toBeUndefined()
  expect(node.openBao().process().end()).toBeUndefined()
  expect({ agent: node.agent().pid, openBao: node.openBao().pid() }).toEqual(pids)
}

/** Has OpenBao make a new root key, which it can only keep if its seal encrypts. */
export async function expectSealWorks(node: SealedNode, rootToken: string): Promise<void> {
  const rotate = () => node.openBao().request({ method: 'POST', path: 'sys/rotate/root', token: rootToken })
  const first = await rotate()
  // A call that OpenBao made before it noticed that its agent had died fails; the next one must not.
  const answer = JSON.stringify(first).includes('code = Unavailable') ? await rotate() : first
  expect(answer).toEqual({ status: 204, body: undefined })
}
