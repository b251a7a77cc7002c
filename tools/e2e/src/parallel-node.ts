import { type SealedNodeConfig } from '@sealwright/testing-cluster'
import { createTestHsm, type TestHsm } from './parallel-hsm.ts'
import { startTestTransit, type TestTransit } from './parallel-transit.ts'
import { waitForMembers } from './parallel-status.ts'
import { initialise, newNodeWithOpenBao, type OpenedNode } from './served-node.ts'
import { type TestScope } from './test-scope.ts'

/** A node with a TPM, a token and the key of another OpenBao, each of which opens it. OpenBao is active. */
export interface ParallelNode extends OpenedNode {
  readonly hsm: TestHsm
  readonly transit: TestTransit
  /** What its configuration was made from, all seals included. */
  readonly config: SealedNodeConfig & { readonly moreSeals: readonly Readonly<Record<string, unknown>>[] }
}

/** How often agents look at their seals here: as often as they can be told to. */
export const OFTEN = { probeIntervalMs: 1_000, learnIntervalMs: 500 } as const

/** Fields of the seals, where a test wants others than usual. */
export interface ParallelOptions extends SealedNodeConfig {
  readonly hsm?: Readonly<Record<string, unknown>>
  readonly transit?: Readonly<Record<string, unknown>>
}

/** Makes one: `bootstrap-init` gives all three their records. */
export async function openParallelNode(scope: TestScope, options: ParallelOptions = {}): Promise<ParallelNode> {
  const { hsm: hsmFields, transit: transitFields, ...given } = options
  const served = await newNodeWithOpenBao(scope, { agent: OFTEN, ...given })
  const { node, sealKeyPath } = served
  const [hsm, transit] = await Promise.all([createTestHsm(scope), startTestTransit(scope)])
  const config = { ...served.config, moreSeals: [hsm.seal(hsmFields), transit.seal(transitFields)] }
  await node.writeConfig(config)
  expect(await node.bootstrap(sealKeyPath)).toMatchObject({ exitCode: 0, stderr: '' })
  await node.startAgent()
  const rootToken = await initialise(served)
  await waitForMembers(node, 'tpm', 'hsm', 'backup')
  return { ...served, config, hsm, transit, rootToken }
}
