import { join } from 'node:path'
import { programCommand, type SealedNode } from '@sealwright/testing-cluster'
import { type ProcessEnd, type StartedProcess, startProcess, waitUntil } from '@sealwright/testing-rig'
import { agentLines } from './node-log.ts'
import { type TestScope } from './test-scope.ts'

const SIGNAL_TIMEOUT_MS = 30_000
const END_TIMEOUT_MS = 60_000

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

/** SIGKILL to the agent, and its end. */
export async function killAgent(node: SealedNode): Promise<void> {
  node.agent().kill('SIGKILL')
  await node.agent().exited
}

/** Waits until a program has ended by itself, and tells how. */
export async function endOf(program: StartedProcess): Promise<ProcessEnd> {
  return await waitUntil(() => program.end(), {
    what: `the end of ${program.name}`,
    timeoutMs: END_TIMEOUT_MS,
    describe: () => program.logTail(),
  })
}

/** SIGHUP to the agent: the operator has changed something. Returns when the agent has heard it. */
export async function hangUp(node: SealedNode): Promise<void> {
  const reloaded = { msg: 'seals are tried again' }
  const told = agentLines(node, reloaded).length
  node.agent().kill('SIGHUP')
  await node.agent().waitFor(() => agentLines(node, reloaded).length > told, {
    what: 'the agent to hear the SIGHUP',
    timeoutMs: SIGNAL_TIMEOUT_MS,
  })
}

/** Starts one more agent, beside the one of the node. `nodeOptions` replace those that agents are started with. */
export async function startAnotherAgent(
  scope: TestScope,
  configPath: string,
  nodeOptions?: readonly string[],
): Promise<StartedProcess> {
  const { command, args } = programCommand('unsealer-sidecar')
  const main = args.at(-1) ?? ''
  const another = await startProcess({
    name: 'another-agent',
    command,
    args: [...(nodeOptions === undefined ? args : [...nodeOptions, main]), '--config', configPath],
    logDirectory: join(scope.folder.path, 'another'),
  })
  return scope.use(another)
}
