import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SealedNode } from '@sealwright/testing-cluster'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { expectPrograms, pidsOf } from './node-programs.ts'
import { bootstrapNode, endNode, expectSealWorks, initialise } from './served-node.ts'
import { seededRandom } from './seeded-random.ts'
import { waitForAgentLine } from './tpm-node.ts'

const ALL = ['agent', 'connector', 'openbao', 'tpm'] as const
/** The issue: a connector ends within a second of its agent or its OpenBao. */
const CONNECTOR_END_TIMEOUT_MS = 1_000
const RANDOM_ORDERS = 10

let folder: TemporaryFolder
let node: SealedNode
let token: string

beforeEach(async () => {
  folder = await temporaryFolder()
  const served = await bootstrapNode(folder.path)
  node = served.node
  await node.startAgent()
  token = await initialise(served)
  await expectPrograms(folder.path, ...ALL)
})

afterEach(async () => {
  await endNode(node)
  await folder.remove()
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
    await node.openBao().process().exited
    await expectPrograms(folder.path, 'agent', 'tpm')

    await node.openBao().start({ until: 'active' })
    expect(node.agent().pid).toBe(agentPid)
    expect(node.agent().end()).toBeUndefined()
    await expectSealWorks(node, token)
    await expectPrograms(folder.path, ...ALL)
  })

  it('keeps OpenBao unsealed while the agent is dead, and uses the next agent without a restart of OpenBao', async () => {
    const baoPid = node.openBao().pid()
    node.agent().kill('SIGKILL')
    await waitForConnectorEnd()
    await node.agent().exited
    await expectPrograms(folder.path, 'openbao', 'tpm')
    await expect(node.openBao().state()).resolves.toBe('active')

    await node.startAgent()
    await waitForAgentLine(node, { msg: 'keyring opened' })
    await expectSealWorks(node, token)
    expect(node.openBao().pid()).toBe(baoPid)
    await expectPrograms(folder.path, ...ALL)
  })

  it('starts a new connector with the next call after the connector was killed', async () => {
    const { sessionId } = await waitForAgentLine(node, { msg: 'sessionOpened' })
    const [connectorPid = 0] = pidsOf(folder.path, 'connector')
    expect(connectorPid).toBeGreaterThan(1)
    process.kill(connectorPid, 'SIGKILL')
    await waitForAgentLine(node, { msg: 'sessionEnded', sessionId })
    await expectSealWorks(node, token)
    await expect(node.openBao().state()).resolves.toBe('active')
    await expectPrograms(folder.path, ...ALL)
    expect(pidsOf(folder.path, 'connector')).not.toContain(connectorPid)
  })

  it(`opens after each of ${RANDOM_ORDERS} random orders of killing and starting agent and OpenBao`, async () => {
    const random = seededRandom(0x5ea1)
    for (let round = 0; round < RANDOM_ORDERS; round++) {
      const victims = random.shuffle(random.pick([['agent'], ['openbao'], ['agent', 'openbao'], ['openbao', 'agent']]))
      const signal = random.pick(['SIGKILL', 'SIGTERM'] as const)
      for (const victim of victims) {
        const { kill, exited } = victim === 'agent' ? node.agent() : node.openBao().process()
        kill(signal)
        if (random.pick([true, false])) await exited
      }
      for (const victim of random.shuffle(victims)) {
        if (victim === 'agent') {
          await node.agent().exited
          await node.startAgent()
        } else {
          await node.openBao().process().exited
          await node.openBao().start({ until: 'nothing' })
        }
      }
      await node.openBao().waitFor('active')
      await expectSealWorks(node, token)
      await expectPrograms(folder.path, ...ALL)
    }
  })

  it('ends in good order on SIGTERM while OpenBao stays unsealed, and leaves nothing but the request pipe', async () => {
    node.agent().kill('SIGTERM')
    await expect(node.agent().exited).resolves.toEqual({ code: 0, signal: null })
    await expectPrograms(folder.path, 'openbao', 'tpm')
    expect(readdirSync(node.directory)).not.toContain('control.sock')
    expect(readdirSync(join(node.ipcDirectory, 's'))).toEqual([])
    expect(readdirSync(join(node.ipcDirectory, 'out'))).toEqual([])
    expect(readFileSync(node.agent().logPath, 'utf8')).toContain('"agent stops"')
    await expect(node.openBao().state()).resolves.toBe('active')

    await node.startAgent()
    await expectSealWorks(node, token)
  })
})

async function waitForConnectorEnd(): Promise<void> {
  await waitUntil(() => pidsOf(folder.path, 'connector').length === 0, {
    what: 'the connector to end',
    timeoutMs: CONNECTOR_END_TIMEOUT_MS,
    intervalMs: 5,
  })
}
