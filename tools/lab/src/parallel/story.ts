import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type ControlClient, controlClient } from '@sealwright/control-client'
import { Secret } from '@sealwright/secret'
import { type ClusterNode, writeFirstSecret } from '@sealwright/testing-cluster'
import { type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { LabError } from '../errors.ts'
import { type StoryStep } from '../story.ts'
import { bao } from './bao.ts'
import { recoverByShares } from './recover.ts'
import { takeOverStatic } from './take-over.ts'
import { SEAL_NAMES, type SealName, type World } from './world.ts'

/** What the story proved, as `--json` prints it. */
export interface ParallelFigures {
  /** The seals that opened the whole cluster alone, each while all others were away. */
  readonly opened: readonly SealName[]
  /** Rotations that were made while one seal was away throughout; it opened the cluster alone afterwards. */
  readonly rotationsWithOneOffline: number
  readonly generationsRetired: number
  readonly recoveredFromSnapshotWithSharesOnly: boolean
  readonly staticTakenOverWithoutMigration: boolean
  readonly secretIntact: boolean
}

export interface ParallelStory {
  readonly world: World
  readonly folder: TemporaryFolder
  readonly onStep: (step: StoryStep) => void
  readonly signal: AbortSignal
}

const FORM_TIMEOUT_MS = 120_000
const CONTROL_TIMEOUT_MS = 60_000
const ROTATIONS = 3
const THRESHOLD = 2
const SHARES = 3
const SECRET_PATH = { mount: 'secret', path: 'lab/proof' } as const
const DEVICES = ['tpm', 'hsm', 'backup'] as const

/**
 * The RFC's own story: one seal first, the others added online, each taken away in turn, rotations with one of them offline, and a
 * recovery from nothing but a snapshot and shares.
 *
 * @returns The figures. Anything that does not hold throws.
 */
export async function tellParallelStory({ world, folder, onStep, signal }: ParallelStory): Promise<ParallelFigures> {
  const { cluster } = world
  const { nodes } = cluster
  const step = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    signal.throwIfAborted()
    const startedAtMs = performance.now()
    const value = await work()
    onStep({ what, tookMs: performance.now() - startedAtMs })
    return value
  }
  const first = nodes[0]
  if (first === undefined) throw new LabError('the lab needs a node')
  const shares: Secret[] = []
  const proof = new Secret(new TextEncoder().encode(randomBytes(16).toString('hex')))

  const token = await step('one seal is initialised: the TPM of each node, then OpenBao', async () => {
    for (const { node } of nodes) {
      const { exitCode, stderr } = await node.bootstrap(cluster.sealKeyPath)
      if (exitCode !== 0) throw new LabError(`bootstrap-init of ${node.name} ended with ${exitCode}: ${stderr.trim()}`)
    }
    await cluster.destroySealKey()
    await Promise.all(nodes.map(({ node }) => node.startAgent()))
    await Promise.all(
      nodes.map(({ node, openBaoOptions }) => node.startOpenBao({ ...openBaoOptions, until: 'nothing' })),
    )
    await first.node.openBao().waitFor('uninitialised')
    const { rootToken } = await first.client.init({ recoveryShares: 1, recoveryThreshold: 1 }, { signal })
    await cluster.waitUntilFormed(rootToken, FORM_TIMEOUT_MS, signal)
    await writeFirstSecret(first.client, SECRET_PATH, { proof }, { signal, token: rootToken })
    return rootToken
  })

  /** Everything but the devices is killed and started again. */
  const restart = async (): Promise<void> => {
    for (const { node } of nodes) {
      node.openBao().kill('SIGKILL')
      node.agent().kill('SIGKILL')
    }
    await Promise.all(nodes.flatMap(({ node }) => [node.openBao().process().exited, node.agent().exited]))
    await Promise.all(
      nodes.map(async ({ node }) => {
        await node.startAgent()
        await node.openBao().start({ until: 'nothing' })
      }),
    )
  }

  const isIntact = async (): Promise<boolean> => {
    const found = await waitUntil(
      async waitSignal => await first.client.kvGet(SECRET_PATH, { signal: waitSignal, token }),
      { what: 'the secret', timeoutMs: FORM_TIMEOUT_MS, signal },
    )
    const read = found.data.get('proof')
    return read?.equals(proof) === true
  }

  /** Starts the cluster anew with one seal left, and makes sure that it was this one that opened every node. */
  const openByAlone = async (sealName: SealName): Promise<void> => {
    for (const device of DEVICES) await world.setPresent(device, device === sealName)
    await restart()
    if (sealName === 'emergency') {
      for (const { node } of nodes) {
        await node.waitForLog('agent serves')
        await withAgent(node.controlSocketPath, async agent => {
          for (const share of shares.slice(0, THRESHOLD)) await agent.enterShare(share, {}, signal)
        })
      }
    }
    await cluster.waitUntilFormed(token, FORM_TIMEOUT_MS, signal)
    for (const { node } of nodes) {
      const { keyring } = await withAgent(node.controlSocketPath, agent => agent.status(signal))
      if (keyring?.openedBy !== sealName)
        throw new LabError(`${node.name} was opened by ${keyring?.openedBy ?? 'nothing'}`)
    }
    if (!(await isIntact())) throw new LabError('the secret was lost')
  }

  await step('the others are added online: a token, another OpenBao, shares for people', async () => {
    for (const [index, { node }] of nodes.entries()) {
      await node.writeConfig(world.configOf(index, ['hsm', 'backup', 'emergency']))
      node.agent().kill('SIGHUP')
    }
    const leader = await leaderOf(nodes)
    await withAgent(leader.node.controlSocketPath, async agent => {
      await untilMembers(agent, ['tpm', 'hsm', 'backup'], signal)
      const made = await agent.initialise('emergency', { shares: { threshold: THRESHOLD, count: SHARES } }, signal)
      shares.push(...made.shares)
      await agent.confirmShares('emergency', { memberId: made.member.memberId }, signal)
    })
    await exchangeKeyrings(nodes, signal)
  })

  const opened: SealName[] = []
  for (const sealName of SEAL_NAMES) {
    await step(`${sealName} alone opens all three nodes, after everything was killed`, async () => {
      await openByAlone(sealName)
      opened.push(sealName)
    })
  }

  await step(`${ROTATIONS} rotations of the seal key while the other OpenBao is away`, async () => {
    for (const device of DEVICES) await world.setPresent(device, device !== 'backup')
    await restart()
    await cluster.waitUntilFormed(token, FORM_TIMEOUT_MS, signal)
    const leader = await leaderOf(nodes)
    for (let count = 0; count < ROTATIONS; count += 1) {
      await withAgent(leader.node.controlSocketPath, agent => agent.rotate({}, signal))
    }
    await leader.client.rotateRoot({ signal, token })
    await exchangeKeyrings(nodes, signal)
  })
  await step('the other OpenBao, which missed them all, opens the cluster alone', () => openByAlone('backup'))
  for (const device of DEVICES) await world.setPresent(device, true)

  const snapshot = folder.join('cluster.snap')
  const generationsRetired = await step(
    'a snapshot proves that nothing names the old keys: they are retired',
    async () => {
      const leader = await leaderOf(nodes)
      await withAgent(leader.node.controlSocketPath, async agent => {
        await agent.probe(signal)
      })
      // Becoming active makes OpenBao encrypt its recovery key anew, too.
      await leader.node.openBao().restart({ until: 'unsealed' })
      await cluster.waitUntilFormed(token, FORM_TIMEOUT_MS, signal)
      const now = await leaderOf(nodes)
      await now.client.rotateRoot({ signal, token })
      await bao({ address: now.apiAddress, caPath: cluster.caPath, token }, [
        'operator',
        'raft',
        'snapshot',
        'save',
        snapshot,
      ])
      return await withAgent(now.node.controlSocketPath, async agent => {
        const { retired } = await agent.retire(createReadStream(snapshot), {}, signal)
        return retired.length
      })
    },
  )
  if (generationsRetired === 0) throw new LabError('no generation was retired')
  const secretIntact = await isIntact()

  const recoveredFromSnapshotWithSharesOnly = await step(
    'the whole cluster is gone; a new machine recovers it from the snapshot and two shares',
    async () => {
      for (const { node } of nodes) {
        node.openBao().kill('SIGKILL')
        node.agent().kill('SIGKILL')
      }
      await Promise.all(nodes.flatMap(({ node }) => [node.openBao().process().exited, node.agent().exited]))
      return await recoverByShares({
        folder,
        snapshot,
        shares: shares.slice(0, THRESHOLD),
        token,
        proof,
        secretPath: SECRET_PATH,
        signal,
      })
    },
  )
  const staticTakenOverWithoutMigration = await step(
    'an OpenBao with seal "static" is taken over as it is, without migration',
    () => takeOverStatic({ folder, signal }),
  )
  for (const share of shares) share.wipe()
  proof.wipe()
  token.wipe()
  return {
    ...{ opened, rotationsWithOneOffline: ROTATIONS, generationsRetired, secretIntact },
    ...{ recoveredFromSnapshotWithSharesOnly, staticTakenOverWithoutMigration },
  }
}

/** Lends a connection to the agent at this control socket. */
async function withAgent<T>(socketPath: string, use: (agent: ControlClient) => Promise<T>): Promise<T> {
  const agent = controlClient({ socketPath, timeoutMs: CONTROL_TIMEOUT_MS })
  try {
    return await use(agent)
  } finally {
    await agent.close()
  }
}

async function leaderOf(nodes: readonly ClusterNode[]): Promise<ClusterNode> {
  return await waitUntil(
    async () => {
      const states = await Promise.all(nodes.map(({ node }) => node.openBao().state()))
      return nodes[states.indexOf('active')]
    },
    { what: 'a leader', timeoutMs: FORM_TIMEOUT_MS },
  )
}

/** Waits until the keyring has a member of each of these seals. */
async function untilMembers(agent: ControlClient, names: readonly SealName[], signal: AbortSignal): Promise<void> {
  await waitUntil(
    async waitSignal => {
      const { members } = await agent.members(waitSignal)
      return names.every(name => members.some(({ seal }) => seal === name))
    },
    { what: `members of ${names.join(', ')}`, timeoutMs: FORM_TIMEOUT_MS, signal },
  )
}

/** Every agent gets the keyring of every other one, as an operator does with `sealctl keyring export` and `import`. */
async function exchangeKeyrings(nodes: readonly ClusterNode[], signal: AbortSignal): Promise<void> {
  const sockets = nodes.map(({ node }) => node.controlSocketPath)
  for (let round = 0; round < 2; round += 1) {
    const keyrings = await Promise.all(sockets.map(path => withAgent(path, agent => agent.exportKeyring(signal))))
    for (const path of sockets) {
      await withAgent(path, async agent => {
        for (const keyring of keyrings) await agent.importKeyring(keyring, signal)
      })
    }
  }
}
