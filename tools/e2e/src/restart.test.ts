import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SealedNode } from '@sealwright/testing-cluster'
import { type StartedProcess, waitUntil } from '@sealwright/testing-rig'
import { expectSealWorks } from './node-health.ts'
import { endOf } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { ALL_PROGRAMS, expectPrograms, pidsOf } from './node-programs.ts'
import { seededRandom } from './seeded-random.ts'
import { openNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

/** The issue: a connector ends within a second of its agent or its OpenBao. */
const CONNECTOR_END_TIMEOUT_MS = 1_000
const RANDOM_ORDERS = 10

const scope = testScope()
let node: SealedNode
let rootToken: string

beforeEach(async () => {
  ;({ node, rootToken } = await openNode(scope))
  await expectPrograms(scope.folder.path, ...ALL_PROGRAMS)
})

describe('a node whose programs are killed', () => {
  it('ends session, socket, pipe and connector of an OpenBao that was killed, and opens the next one', async () => {
    const { sessionId } = await waitForAgentLine(node, { msg: 'sessionOpened' })
    const agentPid = node.agent().pid
    node.openBao().kill()
    await waitForConnectorEnd()
    await waitForAgentLine(node, { msg: 'sessionEnded', sessionId, reason: 'hostLost' })
    expect(readdirSync(join(node.ipcDirectory, 's'))).toEqual([])
    expect(readdirSync(join(node.ipcDirectory, 'out'))).not.toContain(sessionId)
    await endOf(node.openBao().process())
    await expectPrograms(scope.folder.path, 'agent', 'tpm')

    await node.openBao().start({ until: 'active' })
    expect(node.agent().pid).toBe(agentPid)
    expect(node.agent().end()).toBeUndefined()
    await expectSealWorks(node, rootToken)
    await expectPrograms(scope.folder.path, ...ALL_PROGRAMS)
  })

  it('keeps OpenBao unsealed while the agent is dead, and uses the next agent without a restart of OpenBao', async () => {
    const baoPid = node.openBao().pid()
    node.agent().kill('SIGKILL')
    await waitForConnectorEnd()
    await endOf(node.agent())
    await expectPrograms(scope.folder.path, 'openbao', 'tpm')
    await expect(node.openBao().state()).resolves.toBe('active')

    await node.startAgent()
    await waitForAgentLine(node, { msg: 'keyring opened' })
    await expectSealWorks(node, rootToken)
    expect(node.openBao().pid()).toBe(baoPid)
    await expectPrograms(scope.folder.path, ...ALL_PROGRAMS)
  })

  it('starts a new connector with the next call after the connector was killed', async () => {
    const { sessionId } = await waitForAgentLine(node, { msg: 'sessionOpened' })
    const [connectorPid = 0] = pidsOf(scope.folder.path, 'connector')
    expect(connectorPid).toBeGreaterThan(1)
    process.kill(connectorPid, 'SIGKILL')
    await waitForAgentLine(node, { msg: 'sessionEnded', sessionId })
    await expectSealWorks(node, rootToken)
    await expect(node.openBao().state()).resolves.toBe('active')
    await expectPrograms(scope.folder.path, ...ALL_PROGRAMS)
    expect(pidsOf(scope.folder.path, 'connector')).not.toContain(connectorPid)
  })

  it(`opens after each of ${RANDOM_ORDERS} random orders of killing and starting agent and OpenBao`, async () => {
    const random = seededRandom(0x5ea1)
    for (let round = 0; round < RANDOM_ORDERS; round++) {
      const victims = random.shuffle<Victim>(
        random.pick<readonly Victim[]>([['agent'], ['openbao'], ['agent', 'openbao']]),
      )
      const signal = random.pick(['SIGKILL', 'SIGTERM'] as const)
      for (const victim of victims) {
        const program = programOf(victim)
        program.kill(signal)
        if (random.pick([true, false])) await endOf(program)
      }
      for (const victim of random.shuffle(victims)) {
        await endOf(programOf(victim))
        if (victim === 'agent') await node.startAgent()
        else await node.openBao().start({ until: 'nothing' })
      }
      await node.openBao().waitFor('active')
      await expectSealWorks(node, rootToken)
      await expectPrograms(scope.folder.path, ...ALL_PROGRAMS)
    }
  })

  it('ends in good order on SIGTERM while OpenBao stays unsealed, and leaves nothing but the request pipe', async () => {
    node.agent().kill('SIGTERM')
    expect(await endOf(node.agent())).toEqual({ code: 0, signal: null })
    await expectPrograms(scope.folder.path, 'openbao', 'tpm')
    expect(readdirSync(node.directory)).not.toContain('control.sock')
    expect(readdirSync(join(node.ipcDirectory, 's'))).toEqual([])
    expect(readdirSync(join(node.ipcDirectory, 'out'))).toEqual([])
    expect(readFileSync(node.agent().logPath, 'utf8')).toContain('"agent stops"')
    await expect(node.openBao().state()).resolves.toBe('active')

    await node.startAgent()
    await expectSealWorks(node, rootToken)
  })
})

type Victim = 'agent' | 'openbao'

function programOf(victim: Victim): StartedProcess {
  return victim === 'agent' ? node.agent() : node.openBao().process()
}

async function waitForConnectorEnd(): Promise<void> {
  await waitUntil(() => pidsOf(scope.folder.path, 'connector').length === 0, {
    what: 'the connector to end',
    timeoutMs: CONNECTOR_END_TIMEOUT_MS,
    intervalMs: 5,
  })
}
