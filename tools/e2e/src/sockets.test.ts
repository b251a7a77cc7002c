import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { startProcess, type StartedProcess } from '@sealwright/testing-rig'
import { askControl } from './control-request.ts'
import { expectSealWorks } from './node-health.ts'
import { endOf, killAgent, startAnotherAgent } from './node-life.ts'
import { agentLines, waitForAgentLine } from './node-log.ts'
import { ALL_PROGRAMS, expectPrograms } from './node-programs.ts'
import { openNode } from './served-node.ts'
import { storeEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'

const IN_THE_WAY_EXIT_CODE = 7
const CONFIGURATION_EXIT_CODE = 2

const scope = testScope()
let node: SealedNode
let rootToken: string
let config: SealedNodeConfig

beforeEach(async () => {
  ;({ node, rootToken, config } = await openNode(scope))
})

describe('a second agent', () => {
  it('on the same store ends with STORE_IN_USE while the first serves on, and starts at once when that is killed', async () => {
    const configPath = await writeOtherConfig()
    const before = await storeEntries(node.storePath)
    const second = await startAnotherAgent(scope, configPath)
    expect(await endOf(second)).toEqual({ code: IN_THE_WAY_EXIT_CODE, signal: null })
    expect(second.logTail()).toContain(`unsealer-sidecar: STORE_IN_USE: another program holds ${node.storePath}`)
    expect(readdirSync(scope.folder.path)).not.toContain('control-2.sock')
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)
    await expectSealWorks(node, rootToken)
    await expectPrograms(scope.folder.path, ...ALL_PROGRAMS)

    await killAgent(node)
    const third = await startAnotherAgent(scope, configPath)
    await third.waitFor(() => readFileSync(third.logPath, 'utf8').includes('"keyring opened"'), {
      what: 'the other agent to open the keyring',
      timeoutMs: 60_000,
    })
    expect(readFileSync(third.logPath, 'utf8').match(/STORE_IN_USE/g)).toHaveLength(2)
    await third.stop()
  })
})

describe('the control socket', () => {
  it('is made anew where a killed agent left a stale one', async () => {
    await killAgent(node)
    expect(lstatSync(node.controlSocketPath).isSocket()).toBe(true)
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'agent serves' })
    await expect(askControl(node, '/healthz')).resolves.toMatchObject({ status: 200 })
    expect(lstatSync(node.controlSocketPath).mode & 0o777).toBe(0o600)
  })

  it('is refused where a live program answers, which goes on answering', async () => {
    await node.agent().stop()
    const other = await listenOn(node.controlSocketPath)
    await expectRefusedAgent(
      IN_THE_WAY_EXIT_CODE,
      `SOCKET_IN_USE: another program answers on ${node.controlSocketPath}`,
    )
    await expect(askControl(node, '/')).resolves.toEqual({ status: 200, text: 'someone else' })

    await other.stop()
    await startAgentAgain()
  })

  it('is refused where a regular file lies, which is left alone', async () => {
    await node.agent().stop()
    await writeFile(node.controlSocketPath, 'mine')
    await expectRefusedAgent(IN_THE_WAY_EXIT_CODE, `SOCKET_PATH_TAKEN: ${node.controlSocketPath} is not a socket`)
    expect(readFileSync(node.controlSocketPath, 'utf8')).toBe('mine')

    await rm(node.controlSocketPath)
    await startAgentAgain()
  })

  it('is refused where its path is longer than a socket can have', async () => {
    await node.agent().stop()
    await node.writeConfig({ ...config, agent: { controlSocket: scope.folder.join('x'.repeat(100)) } })
    await expectRefusedAgent(CONFIGURATION_EXIT_CODE, 'SOCKET_PATH_TOO_LONG: ')
    await node.writeConfig(config)
    await startAgentAgain()
  })
})

describe("the agent's folder", () => {
  it('is cleared of what a killed agent left, and connectors that waited there are served', async () => {
    const { sessionId } = await waitForAgentLine(node, { msg: 'sessionOpened' })
    await killAgent(node)
    const stale = [...names('s'), ...names('out')]
    expect(stale).toContain(String(sessionId))
    expect(names('s')).toHaveLength(1)

    await node.startAgent()
    await expectSealWorks(node, rootToken)
    expect([...names('s'), ...names('out')].filter(name => stale.includes(name))).toEqual([])
    await expectPrograms(scope.folder.path, ...ALL_PROGRAMS)
  })

  it.each<readonly [string, string]>([
    ['in', 'the request pipe should be'],
    ['out/11111111-2222-4333-8444-555555555555', 'reply pipes should be'],
    ['s/mine', 'sockets should be'],
  ])('is refused with a regular file %s where %s, which is left alone', async name => {
    const path = join(node.ipcDirectory, name)
    await node.agent().stop()
    await rm(path, { force: true })
    await writeFile(path, 'mine')
    await expectRefusedAgent(IN_THE_WAY_EXIT_CODE, `SEAL_PLUGIN_FOREIGN_FILE: ${path} is not ours`)
    expect(readFileSync(path, 'utf8')).toBe('mine')

    await rm(path)
    await startAgentAgain()
  })

  it('is refused while another live agent serves it, which goes on serving', async () => {
    const configPath = scope.folder.join('other.yaml')
    await mkdir(scope.folder.join('other-seal'), { mode: 0o700 })
    await writeFile(configPath, JSON.stringify(otherConfig({ store: 'other-seal', ipcDirectory: 'ipc' })))
    const second = await startAnotherAgent(scope, configPath)
    expect(await endOf(second)).toEqual({ code: IN_THE_WAY_EXIT_CODE, signal: null })
    expect(second.logTail()).toContain('SEAL_PLUGIN_DIRECTORY_IN_USE: another live agent reads')
    await expectSealWorks(node, rootToken)
  })
})

function names(sub: 's' | 'out'): readonly string[] {
  return readdirSync(join(node.ipcDirectory, sub))
}

/** Starts the node's agent and waits until it refuses to run, in its log and on stderr, with nothing left behind. */
async function expectRefusedAgent(exitCode: number, text: string): Promise<void> {
  const agent = await node.startAgent()
  expect(await endOf(agent)).toEqual({ code: exitCode, signal: null })
  expect(agent.logTail()).toContain(`unsealer-sidecar: ${text}`)
  const [code = ''] = text.split(':')
  expect(agentLines(node, { level: 'fatal', msg: 'agent ends', code })).toHaveLength(1)
  await expect(node.openBao().state()).resolves.toBe('active')
}

async function startAgentAgain(): Promise<void> {
  await node.startAgent()
  await expectSealWorks(node, rootToken)
  await expectPrograms(scope.folder.path, ...ALL_PROGRAMS)
}

/** The node's own store, and folders of its own: only the lock of the store can stop the agent that uses it. */
async function writeOtherConfig(): Promise<string> {
  const path = scope.folder.join('other.yaml')
  await writeFile(path, JSON.stringify(otherConfig({ store: 'seal', ipcDirectory: 'ipc-2' })))
  return path
}

function otherConfig({ store, ipcDirectory }: { readonly store: string; readonly ipcDirectory: string }) {
  return {
    store: scope.folder.join(store),
    seals: [{ name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: node.tpm.socketPath } }],
    agent: { ipcDirectory: scope.folder.join(ipcDirectory), controlSocket: scope.folder.join('control-2.sock') },
  }
}

/** A program that is not ours, on a Unix socket. */
async function listenOn(path: string): Promise<StartedProcess> {
  const script = `require('node:http').createServer((_, answer) => answer.end('someone else')).listen(process.argv[1], () => console.log('up'))`
  const started = scope.use(
    await startProcess({
      name: 'someone-else',
      command: process.execPath,
      args: ['-e', script, path],
      logDirectory: scope.folder.join('someone-else'),
    }),
  )
  await started.waitFor(() => started.logTail().includes('up'), { what: 'somebody else to listen', timeoutMs: 60_000 })
  return started
}
