import { type SealedNode } from '@sealwright/testing-cluster'
import { waitUntil } from '@sealwright/testing-rig'
import { expectOpensByItself, expectSealWorks } from './node-health.ts'
import { boot, cutPower, killAgent } from './node-life.ts'
import { openBaoLog, waitForAgentLine, waitForOpenBaoLog } from './node-log.ts'
import { ALL_PROGRAMS, expectPrograms, type NodeProgram } from './node-programs.ts'
import { bootstrapNode, initialise, type OpenedNode, openNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

/** How long a connector waits for its agent where a test waits for its end; 25 s is too long for that. */
const CONNECTOR_WAIT_SECONDS = 3

const scope = testScope()

async function expectRunning(...programs: readonly NodeProgram[]): Promise<void> {
  await expectPrograms(scope.folder.path, ...programs)
}

describe('the order of starts', () => {
  it('does not matter: OpenBao that starts first warns, waits for the agent, and opens', async () => {
    const { node } = await openNode(scope)
    await cutPower(node)

    await node.openBao().start({ until: 'nothing' })
    await waitForOpenBaoLog(node, `still waiting for the seal agent in ${node.ipcDirectory}`)
    await node.startAgent()

    await expectOpensByItself(node)
    await expectRunning(...ALL_PROGRAMS)
  })

  it('does not matter: an agent that starts first opens its seal without OpenBao, and serves it later', async () => {
    const served = await bootstrapNode(scope)
    await startOpenAgent(served.node)
    await expectRunning('agent', 'tpm')

    await initialise(served)

    await expectOpensByItself(served.node)
    await expectRunning(...ALL_PROGRAMS)
  })
})

describe('OpenBao', () => {
  let opened: OpenedNode
  let node: SealedNode

  beforeEach(async () => {
    opened = await openNode(scope)
    node = opened.node
  })

  it('ends with the words of the connector when no agent comes, and opens once it is started beside one', async () => {
    await cutPower(node)
    const options = { ...opened.ports, connectorWaitSeconds: CONNECTOR_WAIT_SECONDS }

    await expect(node.startOpenBao(options)).rejects.toThrow(/ended with code 1/)
    const words = `no answer from the seal agent in ${node.ipcDirectory} after ${CONNECTOR_WAIT_SECONDS} s: is it running?`
    expect(openBaoLog(node)).toContain(words)
    await expectRunning('tpm')

    await startOpenAgent(node)
    await node.startOpenBao({ ...options, until: 'active' })
    await expectRunning(...ALL_PROGRAMS)
  })

  it('tells callers without a token nothing of this machine while no agent is there', async () => {
    await node.openBao().stop()
    const options = { ...opened.ports, connectorWaitSeconds: CONNECTOR_WAIT_SECONDS }
    const bao = await node.startOpenBao({ ...options, until: 'active' })
    await killAgent(node)

    const challenge = {
      method: 'POST',
      path: 'sys/storage/raft/bootstrap/challenge',
      body: { server_id: 'x' },
      timeoutMs: 60_000,
    } as const
    const absent = await waitUntil(
      async signal => {
        const text = JSON.stringify((await bao.request({ ...challenge, signal })).body)
        // The first caller may still meet the dead agent's socket, and gRPC's own words for that.
        return text.includes('SEAL_AGENT_ABSENT') ? text : false
      },
      { what: 'the connector to give up', timeoutMs: 60_000 },
    )
    expect(absent).not.toContain(scope.folder.path)
    expect(absent).not.toContain('sealwright-connector')

    await startOpenAgent(node)
    await expectSealWorks(node, opened.rootToken)
  })

  it('refuses a connector whose checksum does not match, starts nothing, and opens with the right one', async () => {
    await cutPower(node)
    await startOpenAgent(node)

    const wrong = { ...opened.ports, connectorSha256: '0'.repeat(64) }
    await expect(node.startOpenBao(wrong)).rejects.toThrow(/ended with code 1/)
    expect(openBaoLog(node)).toContain(
      'Error configuring seal "sealwright": start plugin client: checksums did not match',
    )
    await expectRunning('agent', 'tpm')

    await node.startOpenBao({ ...opened.ports, until: 'active' })
    await expectRunning(...ALL_PROGRAMS)
  })

  it('refuses an option of its seal stanza that nobody knows, by name, and opens without it', async () => {
    await cutPower(node)
    await startOpenAgent(node)

    const unknown = { pcrs: '0,7', health_check_interval: '5m' }
    await expect(node.startOpenBao({ ...opened.ports, sealOptions: unknown })).rejects.toThrow(/ended with code 1/)
    expect(openBaoLog(node)).toMatch(
      /Error configuring seal "sealwright": .*SEAL_OPTION_UNKNOWN: unknown option .*: pcrs; /,
    )
    await expectRunning('agent', 'tpm')

    const known = { health_check_interval: '5m' }
    await node.startOpenBao({ ...opened.ports, sealOptions: known, until: 'active' })
    await expectRunning(...ALL_PROGRAMS)
  })

  it('keeps answering while its seal does not open, and opens without a restart when it does', async () => {
    await cutPower(node)
    await node.tpm.kill()

    await boot(node)
    await waitForOpenBaoLog(node, 'SEAL_NOT_OPEN: no seal opens the keyring (tpm: TPM_UNREACHABLE)')
    expect(openBaoLog(node)).not.toContain('SEAL_NOT_OPEN: SEAL_NOT_OPEN')
    expect(openBaoLog(node)).not.toContain(node.tpm.socketPath)

    await node.tpm.start()
    await expectOpensByItself(node)
  })
})

/** Starts the agent and waits until it has a key to serve. */
async function startOpenAgent(node: SealedNode): Promise<void> {
  await node.startAgent()
  await waitForAgentLine(node, { msg: 'agent serves' })
  await waitForAgentLine(node, { msg: 'keyring opened' })
}
