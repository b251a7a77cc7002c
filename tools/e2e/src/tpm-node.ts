import { readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSealedNode, type LogLine, type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { freePort } from '@sealwright/testing-rig'
import { writeSealKey } from './seal-key.ts'

/** A node that was bootstrapped, and whose OpenBao was initialised and is active: where each failure begins. */
export interface OpenedNode {
  readonly node: SealedNode
  /** Folder with the plain seal key. Real nodes no longer have it; a test may need it to enrol a TPM anew. */
  readonly sealKeyPath: string
  /** Where its configuration says that OpenBao is. */
  readonly openbao: { readonly address: string }
}

/** What `sealctl status --json` tells of a node with one seal. */
export interface NodeStatus {
  readonly exitCode: number
  readonly verdict: { readonly kind: string; readonly reasons?: readonly string[] }
  readonly pid: number
  readonly state: string
  readonly sessions: number
  readonly openbao: { readonly state: string }
  readonly seals: readonly [
    {
      readonly health: {
        readonly state: string
        readonly code?: string
        readonly message?: string
        readonly retrying?: boolean
        readonly failuresInARow?: number
        readonly tookMs?: number
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

/** Bootstraps a node and brings its OpenBao to `active`. `directory` must exist, be private, and have a short path. */
export async function openNode(directory: string, config: SealedNodeConfig = {}): Promise<OpenedNode> {
  const apiPort = await freePort()
  const openbao = { address: `http://127.0.0.1:${apiPort}` }
  const node = await createSealedNode({ name: 'solo', directory, config: { openbao, ...config } })
  try {
    const sealKeyPath = await writeSealKey(directory)
    expect(await node.bootstrap(sealKeyPath)).toMatchObject({ exitCode: 0, stderr: '' })
    await node.startAgent()
    const bao = await node.startOpenBao({ apiPort, clusterPort: await freePort() })
    const init = await bao.request({
      method: 'POST',
      path: 'sys/init',
      body: { recovery_shares: 1, recovery_threshold: 1 },
    })
    expect(init.status).toBe(200)
    await bao.waitFor('active')
    return { node, sealKeyPath, openbao }
  } catch (error) {
    await node[Symbol.asyncDispose]()
    throw error
  }
}

/** Ends agent and OpenBao at once, as a power cut does. The TPM goes on. */
export async function cutPower(node: SealedNode): Promise<void> {
  const bao = node.openBao()
  bao.kill()
  node.agent().kill('SIGKILL')
  await Promise.all([bao.process().exited, node.agent().exited])
}

/** Starts agent and OpenBao, as a boot does, and waits until OpenBao answers, sealed or not. */
export async function boot(node: SealedNode): Promise<void> {
  await Promise.all([node.startAgent(), node.openBao().start({ until: 'listening' })])
}

/** Runs `sealctl status --json`, which tries every seal for real unless told otherwise. */
export async function statusOf(node: SealedNode, ...args: readonly string[]): Promise<NodeStatus> {
  const { exitCode, stdout } = await node.sealctl('status', '--json', ...args)
  const status = JSON.parse(stdout) as Omit<NodeStatus, 'exitCode'>
  return { ...status, exitCode }
}

/** Waits until the agent's log has a line with these fields from its newest start. */
export async function waitForAgentLine(
  node: SealedNode,
  fields: Readonly<Record<string, unknown>>,
  timeoutMs = 30_000,
): Promise<LogLine> {
  return await node.agent().waitFor(() => agentLines(node, fields)[0], {
    what: `${JSON.stringify(fields)} in the log of the agent`,
    timeoutMs,
  })
}

/** The lines with these fields that the newest agent has logged so far. */
export function agentLines(node: SealedNode, fields: Readonly<Record<string, unknown>>): readonly LogLine[] {
  const { pid, logPath } = node.agent()
  // What follows the last line feed may still be half written.
  const lines = readFileSync(logPath, 'utf8').split('\n').slice(0, -1)
  return lines
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as LogLine)
    .filter(line => Object.entries({ pid, ...fields }).every(([name, value]) => line[name] === value))
}

/** Waits until OpenBao's log holds `text` at least `times` times, from all its starts together. */
export async function waitForOpenBaoLog(node: SealedNode, text: string, times = 1, timeoutMs = 30_000): Promise<void> {
  const bao = node.openBao()
  await bao.process().waitFor(() => readFileSync(bao.logPath, 'utf8').split(text).length > times, {
    what: `${times} times "${text}" in the log of OpenBao`,
    timeoutMs,
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

/** Every file of the seal store in hex, except the agent's lock, which names its holder. */
export async function storeBytes(node: SealedNode): Promise<Readonly<Record<string, string>>> {
  const names = (await readdir(node.storePath)).filter(name => name !== 'agent.lock').sort()
  const files = names.map(async name => [name, await readFile(join(node.storePath, name), 'hex')] as const)
  return Object.fromEntries(await Promise.all(files))
}
