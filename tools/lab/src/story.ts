import { randomBytes } from 'node:crypto'
import { type OpenBaoClient } from '@sealwright/openbao'
import { Secret } from '@sealwright/secret'
import { type ClusterNode, type SealedCluster, writeFirstSecret } from '@sealwright/testing-cluster'
import { waitUntil } from '@sealwright/testing-rig'
import { LabError } from './errors.ts'

/** What the lab proved and measured; printed as one JSON object by `--json`. */
export interface LabFigures {
  readonly nodes: number
  readonly unsealedAfterRestart: number
  readonly quorumHealthy: boolean
  readonly secretIntact: boolean
  /** From starting every TPM, agent and OpenBao until each node is unsealed and the quorum is healthy. */
  readonly coldStartMs: number
  /** From starting one killed OpenBao until it serves again, in a living cluster. */
  readonly nodeRestartToActiveMs: number
  /** Median of the nodes' real TPM unwraps after the power cycle. */
  readonly tpmUnsealMs: number
  /** From the start of an agent's process until it serves, median of the nodes, all starting at once. */
  readonly agentStartMs: number
  readonly bootstrapMs: number
  readonly initialiseMs: number
  readonly openbaoVersion: string
  readonly recoveryShares: number
}

/** One line of the table at the end. */
export interface StoryStep {
  readonly what: string
  readonly tookMs: number
}

export interface StoryDependencies {
  readonly cluster: SealedCluster
  /** Told about each step when it is done. */
  readonly onStep: (step: StoryStep) => void
  /** Told the root token, which stays the story's: for a lab that stays up. */
  readonly onInitialised: (rootToken: Secret) => Promise<void>
  readonly signal: AbortSignal
}

const RECOVERY_SHARES = 3
const RECOVERY_THRESHOLD = 2
const FORM_TIMEOUT_MS = 90_000
const READY_TIMEOUT_MS = 30_000
const SECRET_PATH = { mount: 'secret', path: 'lab/proof' } as const
const SECRET_BYTES = 32

/**
 * The main job: bootstraps and initialises the cluster, takes everything away at once, and sees it come back by itself.
 *
 * @returns The figures. Anything that does not hold throws.
 */
export async function tellStory({ cluster, onStep, onInitialised, signal }: StoryDependencies): Promise<LabFigures> {
  const { nodes } = cluster
  const first = firstOf(nodes)
  const step = async <T>(what: string, work: () => Promise<T>): Promise<{ value: T; tookMs: number }> => {
    signal.throwIfAborted()
    const startedAtMs = performance.now()
    const value = await work()
    const tookMs = performance.now() - startedAtMs
    onStep({ what, tookMs })
    return { value, tookMs }
  }

  const { tookMs: bootstrapMs } = await step('each TPM wraps the seal key and proves that it opens', async () => {
    for (const { node } of nodes) {
      const { exitCode, stderr } = await node.bootstrap(cluster.sealKeyPath)
      if (exitCode !== 0) throw new LabError(`bootstrap-init of ${node.name} ended with ${exitCode}: ${stderr.trim()}`)
    }
  })
  await step('the plain seal key is overwritten and removed', () => cluster.destroySealKey())
  await step('agents and OpenBao servers start', async () => {
    await Promise.all(nodes.map(({ node }) => node.startAgent()))
    await Promise.all(nodes.map(({ node, openBaoOptions }) => node.startOpenBao(openBaoOptions)))
  })
  const { value: token, tookMs: initialiseMs } = await step(
    'OpenBao is initialised, the others join and become voters',
    async () => {
      const { rootToken, recoveryKeys } = await first.client.init(
        { recoveryShares: RECOVERY_SHARES, recoveryThreshold: RECOVERY_THRESHOLD },
        { signal },
      )
      // A lab's recovery keys protect nothing. A real operator hands them out now.
      for (const key of recoveryKeys) key.wipe()
      await cluster.waitUntilFormed(rootToken, FORM_TIMEOUT_MS, signal)
      await onInitialised(rootToken)
      return rootToken
    },
  )

  const proof = new Secret(textOf(randomBytes(SECRET_BYTES)))
  try {
    await step('a secret is written', async () => {
      await writeFirstSecret(first.client, SECRET_PATH, { proof }, { signal, token })
    })

    const { tookMs: nodeRestartToActiveMs } = await restartOneServer(nodes, step)

    await step('kill -9 of every OpenBao and every agent, power cut of every TPM', async () => {
      for (const { node } of nodes) {
        node.openBao().kill('SIGKILL')
        node.agent().kill('SIGKILL')
      }
      await Promise.all(nodes.map(({ node }) => node.tpm.kill()))
      await Promise.all(nodes.flatMap(({ node }) => [node.openBao().process().exited, node.agent().exited]))
    })

    const { tookMs: coldStartMs } = await step('power is back: everything starts, nobody helps', async () => {
      await Promise.all(
        nodes.map(async ({ node }) => {
          await node.tpm.start()
          await node.startAgent()
          await node.openBao().start({ until: 'nothing' })
        }),
      )
      await cluster.waitUntilFormed(token, FORM_TIMEOUT_MS, signal)
    })

    const statuses = await Promise.all(nodes.map(({ client }) => client.sealStatus({ signal })))
    const verdict = await cluster.verdict(token, signal)
    const secretIntact = await isIntact(first.client, proof, token, signal)
    if (!secretIntact) throw new LabError('the secret did not survive')
    const unseals = await Promise.all(nodes.map(({ node }) => node.waitForLog('seal unwrapped')))
    const serving = await Promise.all(nodes.map(({ node }) => node.waitForLog('agent serves')))
    return {
      nodes: nodes.length,
      unsealedAfterRestart: statuses.filter(({ sealed }) => !sealed).length,
      quorumHealthy: verdict.kind === 'formed',
      secretIntact,
      coldStartMs: Math.round(coldStartMs),
      nodeRestartToActiveMs: Math.round(nodeRestartToActiveMs),
      tpmUnsealMs: median(unseals.map(({ tookMs }) => Number(tookMs))),
      agentStartMs: median(serving.map(({ sinceProcessStartMs }) => Number(sinceProcessStartMs))),
      bootstrapMs: Math.round(bootstrapMs),
      initialiseMs: Math.round(initialiseMs),
      openbaoVersion: statuses[0]?.version ?? 'unknown',
      recoveryShares: RECOVERY_SHARES,
    }
  } finally {
    proof.wipe()
    token.wipe()
  }
}

async function restartOneServer(
  nodes: readonly ClusterNode[],
  step: <T>(what: string, work: () => Promise<T>) => Promise<{ value: T; tookMs: number }>,
): Promise<{ tookMs: number }> {
  const last = firstOf(nodes.slice(-1))
  const server = last.node.openBao()
  server.kill('SIGKILL')
  await server.process().exited
  return await step(`${last.node.name}: one OpenBao killed and started again, until it serves`, async () => {
    await server.start({ until: 'unsealed' })
  })
}

/** A fresh kv engine answers 400 for a moment while it upgrades itself. */
async function isIntact(client: OpenBaoClient, proof: Secret, token: Secret, signal: AbortSignal): Promise<boolean> {
  const found = await waitUntil(async waitSignal => await client.kvGet(SECRET_PATH, { signal: waitSignal, token }), {
    what: 'the secret',
    timeoutMs: READY_TIMEOUT_MS,
    signal,
  })
  const read = found.data.get('proof')
  const same = read?.equals(proof) === true
  for (const secret of found.data.values()) secret.wipe()
  return same
}

const HEX_DIGITS = new TextEncoder().encode('0123456789abcdef')

/** Random bytes as hex text that never was a string. */
function textOf(bytes: Uint8Array): Uint8Array {
  const text = new Uint8Array(bytes.length * 2)
  bytes.forEach((byte, index) => {
    text[index * 2] = HEX_DIGITS[byte >> 4] ?? 0
    text[index * 2 + 1] = HEX_DIGITS[byte & 15] ?? 0
  })
  return text
}

function firstOf<T>(items: readonly T[]): T {
  const [first] = items
  if (first === undefined) throw new LabError('the lab needs at least one node')
  return first
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return Math.round((sorted[Math.floor(sorted.length / 2)] ?? Number.NaN) * 10) / 10
}
