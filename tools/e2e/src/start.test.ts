import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { expectPrograms } from './node-programs.ts'
import { bootstrapNode, endNode, initialise, type ServedNode } from './served-node.ts'
import { boot, cutPower, expectOpensByItself, waitForAgentLine, waitForOpenBaoLog } from './tpm-node.ts'

const ALL = ['agent', 'connector', 'openbao', 'tpm'] as const

let folder: TemporaryFolder
let served: ServedNode

beforeEach(async () => {
  folder = await temporaryFolder()
  served = await bootstrapNode(folder.path)
})

afterEach(async () => {
  await endNode(served.node)
  await folder.remove()
})

describe('the order of starts', () => {
  it('does not matter: OpenBao that starts first warns, waits for the agent, and opens', async () => {
    const { node } = served
    await node.startAgent()
    await initialise(served)
    await cutPower(node)
    await node.openBao().start({ until: 'nothing' })
    await waitForOpenBaoLog(node, `still waiting for the seal agent in ${node.ipcDirectory}`)
    await node.startAgent()
    await expectOpensByItself(node)
    await expectPrograms(folder.path, ...ALL)
  })

  it('does not matter: an agent that starts first opens its seal without OpenBao, and serves it later', async () => {
    const { node } = served
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'keyring opened' })
    await expectPrograms(folder.path, 'agent', 'tpm')
    await initialise(served)
    await expectOpensByItself(node)
    await expectPrograms(folder.path, ...ALL)
  })
})

describe('OpenBao', () => {
  it('ends with the words of the connector when no agent comes, and opens once it is started beside one', async () => {
    const { node, apiPort, clusterPort } = served
    await node.startAgent()
    await initialise(served)
    await cutPower(node)
    const options = { apiPort, clusterPort, connectorWaitSeconds: 2 }
    await expect(node.startOpenBao(options)).rejects.toThrow(/ended with code 1/)
    expect(openBaoLog()).toContain(`no answer from the seal agent in ${node.ipcDirectory} after 2 s: is it running?`)
    await expectPrograms(folder.path, 'tpm')

    await node.startAgent()
    await node.startOpenBao({ ...options, until: 'active' })
    await expectPrograms(folder.path, ...ALL)
  })

  it('tells callers without a token nothing of this machine while no agent is there', async () => {
    const { node, apiPort, clusterPort } = served
    await node.startAgent()
    await initialise(served)
    await node.openBao().stop()
    const bao = await node.startOpenBao({ apiPort, clusterPort, connectorWaitSeconds: 2, until: 'active' })
    node.agent().kill('SIGKILL')
    await node.agent().exited
    const absent = await waitUntil(
      async signal => {
        const path = 'sys/storage/raft/bootstrap/challenge'
        const { body } = await bao.request({
          method: 'POST',
          path,
          body: { server_id: 'x' },
          timeoutMs: 30_000,
          signal,
        })
        const text = JSON.stringify(body)
        // The first caller may still meet the dead agent's socket, and gRPC's own words for that.
        return text.includes('SEAL_AGENT_ABSENT') ? text : false
      },
      { what: 'the connector to give up', timeoutMs: 60_000 },
    )
    expect(absent).not.toContain(folder.path)
    expect(absent).not.toContain('sealwright-connector')
  })

  it('refuses a connector whose checksum does not match, starts nothing, and opens with the right one', async () => {
    const { node, apiPort, clusterPort } = served
    await node.startAgent()
    await initialise(served)
    await cutPower(node)
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'keyring opened' })
    const wrong = { apiPort, clusterPort, connectorSha256: '0'.repeat(64) }
    await expect(node.startOpenBao(wrong)).rejects.toThrow(/ended with code 1/)
    expect(openBaoLog()).toContain('Error configuring seal "sealwright": start plugin client: checksums did not match')
    await expectPrograms(folder.path, 'agent', 'tpm')

    await node.startOpenBao({ apiPort, clusterPort, until: 'active' })
    await expectPrograms(folder.path, ...ALL)
  })

  it('refuses an option of its seal stanza that nobody knows, by name, and opens without it', async () => {
    const { node, apiPort, clusterPort } = served
    await node.startAgent()
    await initialise(served)
    await cutPower(node)
    await node.startAgent()
    const options = { apiPort, clusterPort, sealOptions: { pcrs: '0,7', health_check_interval: '5m' } }
    await expect(node.startOpenBao(options)).rejects.toThrow(/ended with code 1/)
    expect(openBaoLog()).toMatch(
      /Error configuring seal "sealwright": .*SEAL_OPTION_UNKNOWN: unknown option .*: pcrs; /,
    )
    await expectPrograms(folder.path, 'agent', 'tpm')

    await node.startOpenBao({ ...options, sealOptions: { health_check_interval: '5m' }, until: 'active' })
    await expectPrograms(folder.path, ...ALL)
  })

  it('keeps answering while its seal does not open, and opens without a restart when it does', async () => {
    const { node } = served
    await node.startAgent()
    await initialise(served)
    await cutPower(node)
    await node.tpm.kill()
    await boot(node)
    await waitForOpenBaoLog(node, 'SEAL_NOT_OPEN: no seal opens the keyring (tpm: TPM_UNREACHABLE)')
    expect(openBaoLog()).not.toContain('SEAL_NOT_OPEN: SEAL_NOT_OPEN')
    expect(openBaoLog()).not.toContain(node.tpm.socketPath)
    await node.tpm.start()
    await expectOpensByItself(node)
  })
})

function openBaoLog(): string {
  return readFileSync(join(folder.path, 'bao', 'solo.log'), 'utf8')
}
