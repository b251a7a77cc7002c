import { join } from 'node:path'
import { createSealedNode, programCommand, type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { freePort, type StartedProcess, startProcess } from '@sealwright/testing-rig'
import { expectPrograms } from './node-programs.ts'
import { writeSealKey } from './seal-key.ts'

/** A bootstrapped node with the ports of the OpenBao that it will run. */
export interface ServedNode {
  readonly node: SealedNode
  readonly apiPort: number
  readonly clusterPort: number
}

/** Makes and bootstraps a node; neither agent nor OpenBao runs yet. `directory` must exist, be private, with a short path. */
export async function bootstrapNode(directory: string, config: SealedNodeConfig = {}): Promise<ServedNode> {
  const apiPort = await freePort()
  const openbao = { address: `http://127.0.0.1:${apiPort}` }
  const node = await createSealedNode({ name: 'solo', directory, config: { openbao, ...config } })
  try {
    expect(await node.bootstrap(await writeSealKey(directory))).toMatchObject({ exitCode: 0, stderr: '' })
    return { node, apiPort, clusterPort: await freePort() }
  } catch (error) {
    await node[Symbol.asyncDispose]()
    throw error
  }
}

/** Starts OpenBao beside a running agent, initialises it, waits until it is active. Returns the root token. */
export async function initialise({ node, apiPort, clusterPort }: ServedNode): Promise<string> {
  const bao = await node.startOpenBao({ apiPort, clusterPort })
  const { status, body } = await bao.request({
    method: 'POST',
    path: 'sys/init',
    body: { recovery_shares: 1, recovery_threshold: 1 },
  })
  expect(status).toBe(200)
  await bao.waitFor('active')
  return (body as { root_token: string }).root_token
}

/** Has OpenBao make a new root key, which it can only keep if its seal encrypts. */
export async function expectSealWorks(node: SealedNode, token: string): Promise<void> {
  const rotate = () => node.openBao().request({ method: 'POST', path: 'sys/rotate/root', token })
  const first = await rotate()
  // A call that OpenBao made before it noticed that its agent had died fails; the next one must not.
  const answer = JSON.stringify(first).includes('code = Unavailable') ? await rotate() : first
  expect(answer).toEqual({ status: 204, body: undefined })
}

/** Ends what runs on a node, and asserts that nothing of it is left. */
export async function endNode(node: SealedNode): Promise<void> {
  await node[Symbol.asyncDispose]()
  await expectPrograms(node.directory)
}

/** Starts one more agent, beside the one of the node. `nodeOptions` replace those that agents are started with. */
export async function startAnotherAgent(
  node: SealedNode,
  configPath: string,
  nodeOptions?: readonly string[],
): Promise<StartedProcess> {
  const { command, args } = programCommand('unsealer-sidecar')
  const main = args.at(-1) ?? ''
  return await startProcess({
    name: 'another-agent',
    command,
    args: [...(nodeOptions === undefined ? args : [...nodeOptions, main]), '--config', configPath],
    logDirectory: join(node.directory, 'another'),
  })
}
