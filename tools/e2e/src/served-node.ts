import { createSealedNode, type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { freePort, type RigRequest } from '@sealwright/testing-rig'
import { cutPower } from './node-life.ts'
import { expectPrograms } from './node-programs.ts'
import { writeSealKey } from './seal-key.ts'
import { type TestScope } from './test-scope.ts'
import { proxyTpm, type TpmProxy } from './tpm-proxy.ts'

/** A node with a seal key for it. */
export interface NewNode {
  readonly node: SealedNode
  /** Folder with the plain seal key. Real nodes no longer have it; a test may need it to enrol a TPM anew. */
  readonly sealKeyPath: string
}

/** A node with a place for its OpenBao. */
export interface ServedNode extends NewNode {
  /** What its configuration was made from. */
  readonly config: SealedNodeConfig
  /** Where its OpenBao is, or will be. */
  readonly ports: { readonly apiPort: number; readonly clusterPort: number }
}

/** A node whose OpenBao was initialised. */
export interface OpenedNode extends ServedNode {
  readonly rootToken: string
}

/** `bao operator init`, with one share, since nobody will ask for it. */
export const INITIALISE = {
  method: 'POST',
  path: 'sys/init',
  body: { recovery_shares: 1, recovery_threshold: 1 },
} as const satisfies RigRequest

/**
 * Makes a node in the folder of the test: only its TPM runs, nothing was bootstrapped, and its agent will know of no OpenBao.
 * After the test all that runs on it is ended, and nothing of it may be left.
 */
export async function newNode(scope: TestScope, config: SealedNodeConfig = {}): Promise<NewNode> {
  const directory = scope.folder.path
  scope.afterwards(() => expectPrograms(directory))
  const node = scope.use(await createSealedNode({ name: 'solo', directory, config }))
  return { node, sealKeyPath: await writeSealKey(directory) }
}

/** {@link newNode}, whose agent is told where its OpenBao will be. */
export async function newNodeWithOpenBao(scope: TestScope, config: SealedNodeConfig = {}): Promise<ServedNode> {
  const ports = { apiPort: await freePort(), clusterPort: await freePort() }
  const withOpenBao = { openbao: { address: `http://127.0.0.1:${ports.apiPort}` }, ...config }
  return { ...(await newNode(scope, withOpenBao)), config: withOpenBao, ports }
}

/** {@link newNodeWithOpenBao}, bootstrapped; neither agent nor OpenBao runs yet. */
export async function bootstrapNode(scope: TestScope, config?: SealedNodeConfig): Promise<ServedNode> {
  const served = await newNodeWithOpenBao(scope, config)
  expect(await served.node.bootstrap(served.sealKeyPath)).toMatchObject({ exitCode: 0, stderr: '' })
  return served
}

/** {@link bootstrapNode}, with its agent and an initialised, active OpenBao: where most failures begin. */
export async function openNode(scope: TestScope, config?: SealedNodeConfig): Promise<OpenedNode> {
  const served = await bootstrapNode(scope, config)
  await served.node.startAgent()
  return { ...served, rootToken: await initialise(served) }
}

/** A node with somebody on the bus of its TPM. */
export interface ProxiedNode extends OpenedNode {
  readonly proxy: TpmProxy
}

/** {@link openNode} with a proxy before its TPM. What was open is without power now: the test decides about the next boot. */
export async function openProxiedNode(scope: TestScope, config?: SealedNodeConfig): Promise<ProxiedNode> {
  const proxy = await proxyTpm(scope)
  const opened = await openNode(scope, { tpmSocketPath: proxy.socketPath, ...config })
  await cutPower(opened.node)
  return { ...opened, proxy }
}

/** Starts OpenBao beside a running agent, initialises it, waits until it is active. Returns the root token. */
export async function initialise({ node, ports }: ServedNode): Promise<string> {
  const bao = await node.startOpenBao(ports)
  const { status, body } = await bao.request(INITIALISE)
  expect(status).toBe(200)
  await bao.waitFor('active')
  return (body as { root_token: string }).root_token
}
