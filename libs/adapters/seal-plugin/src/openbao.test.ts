import {
  type NodeChanges,
  type OpenBaoNode,
  type OpenBaoSettings,
  type TemporaryFolder,
  certificateAuthority,
  findProcesses,
  freePort,
  startOpenBao,
  temporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { type FixtureAgent, startFixtureAgent } from './testing/fixture-process.ts'
import { SHELLS, installConnector } from './testing/shells.ts'

const COMMAND = 'sealwright-connector'
const WAIT = { timeoutMs: 30_000 }

describe.each(SHELLS.filter(({ name }) => name !== 'bash as sh'))(
  'OpenBao 2.7.2 with the connector in $name',
  shell => {
    let folder: TemporaryFolder
    let directory: string
    let plugins: string
    let keyHex: string
    let agents: FixtureAgent[]
    let nodes: OpenBaoNode[]

    beforeEach(async () => {
      folder = await temporaryFolder()
      directory = folder.join('seal')
      plugins = folder.join('plugins')
      mkdirSync(plugins)
      installConnector(`${plugins}/${COMMAND}`, shell)
      keyHex = randomBytes(32).toString('hex')
      agents = []
      nodes = []
    })

    afterEach(async () => {
      await Promise.all(nodes.map(node => node.stop()))
      await Promise.all(agents.map(each => each.kill()))
      await waitUntil(() => connectors().length === 0, { what: 'the end of all connectors', ...WAIT })
      await folder.remove()
    })

    async function agent(settings: Partial<Parameters<typeof startFixtureAgent>[0]> = {}): Promise<FixtureAgent> {
      const started = startFixtureAgent({ directory, keyHex, ...settings })
      agents.push(started)
      await started.waitFor('ready')
      return started
    }

    function seal(changes: Partial<OpenBaoSettings['seal'] & { kind: 'sealwright' }> = {}): OpenBaoSettings['seal'] {
      return { kind: 'sealwright', pluginDirectory: plugins, command: COMMAND, args: [directory], ...changes }
    }

    async function server(nodeId = 'n1', changes: NodeChanges = {}): Promise<OpenBaoNode> {
      const node = await startOpenBao({
        directory: folder.join(nodeId),
        nodeId,
        apiPort: await freePort(),
        clusterPort: await freePort(),
        seal: seal(),
        ...changes,
      })
      nodes.push(node)
      return node
    }

    /** A server that is initialised, and active by its seal. */
    async function initialised(nodeId?: string, changes?: NodeChanges): Promise<OpenBaoNode> {
      const node = await server(nodeId, changes)
      const body = { recovery_shares: 1, recovery_threshold: 1 }
      expect((await node.request({ method: 'PUT', path: 'sys/init', body, timeoutMs: 60_000 })).status).toBe(200)
      await node.waitFor('active')
      return node
    }

    /** Makes OpenBao call Encrypt, as anybody can who reaches it. */
    async function challenge(node: OpenBaoNode): Promise<{ readonly status: number; readonly text: string }> {
      const path = 'sys/storage/raft/bootstrap/challenge'
      const { status, body } = await node.request({
        method: 'PUT',
        path,
        body: { server_id: 'nobody' },
        timeoutMs: 60_000,
      })
      return { status, text: JSON.stringify(body) }
    }

    function connectors() {
      return findProcesses(each => each.commandLine.some(argument => argument === `${plugins}/${COMMAND}`))
    }

    function sessionFiles(): readonly string[] {
      return readdirSync(`${directory}/s`)
    }

    function logOf(node: OpenBaoNode): string {
      return readFileSync(node.logPath, 'utf8')
    }

    it('is initialised, and opens itself after a restart and after a kill', async () => {
      const { lines } = await agent()
      const node = await initialised()
      await node.restart({ until: 'active' })
      node.kill()
      await node.process().exited
      await node.start({ until: 'active' })
      expect((await node.request({ path: 'sys/seal-status' })).body).toMatchObject({ type: 'memory', sealed: false })
      const failures = lines.filter(line => 'failure' in line)
      expect(failures).toEqual([])
    })

    it('opens again after an operator sealed it by hand and gave the recovery key', async () => {
      const { lines } = await agent()
      const node = await server()
      const body = { recovery_shares: 1, recovery_threshold: 1 }
      const made = await node.request({ method: 'PUT', path: 'sys/init', body, timeoutMs: 60_000 })
      const { root_token: token, recovery_keys: keys } = made.body as { root_token: string; recovery_keys: string[] }
      await node.waitFor('active')
      expect((await node.request({ method: 'PUT', path: 'sys/seal', token })).status).toBe(204)
      await node.waitFor('sealed')
      await node.request({ method: 'PUT', path: 'sys/unseal', body: { key: keys[0] } })
      await node.waitFor('active')
      expect(connectors()).toHaveLength(1)
      expect(lines.filter(line => 'failure' in line)).toEqual([])
    })

    it('opens itself with TLS on its API', async () => {
      await agent()
      const authority = await certificateAuthority({ directory: folder.join('tls') })
      const issued = await authority.issue({ name: 'n1', usage: 'server' })
      const node = await initialised('n1', { tls: { ...issued, caPath: authority.certificatePath } })
      await node.restart({ until: 'active' })
    })

    it('waits for an agent that starts after it', async () => {
      await (await agent()).stop()
      const node = await server('n1', { until: 'nothing' })
      await waitUntil(() => connectors().length > 0, { what: 'the connector', ...WAIT })
      await agent()
      await node.waitFor('uninitialised')
    })

    it('opens when the agent was killed before Decrypt', async () => {
      const first = await agent()
      const node = await initialised()
      await node.stop()
      await first.kill()
      await node.start({ until: 'nothing' })
      await waitUntil(() => connectors().length > 0, { what: 'the connector', ...WAIT })
      await agent()
      await node.waitFor('active')
    })

    it('opens when the agent is killed during Decrypt', async () => {
      const first = await agent()
      const node = await initialised()
      await node.stop()
      await first.stop()
      const holding = await agent({ decrypt: 'hold' })
      await node.start({ until: 'nothing' })
      await holding.waitFor('decryptStarted')
      await holding.kill()
      await agent()
      await node.waitFor('active')
    })

    it('serves on when the agent is killed after Decrypt, and reaches the next agent', async () => {
      const first = await agent()
      const node = await initialised()
      await first.kill()
      await waitUntil(() => connectors().length === 0, { what: 'the end of the connector', ...WAIT })
      expect(await node.state()).toBe('active')
      const second = await agent()
      expect((await challenge(node)).status).toBe(200)
      expect(connectors()).toHaveLength(1)
      expect(second.lines.some(line => line.kind === 'called' && line.method === 'SetConfig')).toBe(true)
    })

    it('leaves nothing behind when it is killed', async () => {
      const { waitFor } = await agent()
      const node = await initialised()
      expect(sessionFiles()).toHaveLength(1)
      node.kill()
      await node.process().exited
      expect((await waitFor('sessionEnded')).reason).toBe('hostLost')
      await waitUntil(() => connectors().length === 0, { what: 'the end of the connector', ...WAIT })
      expect(sessionFiles()).toEqual([])
    })

    it('leaves nothing behind when it stops', async () => {
      const { waitFor } = await agent()
      const node = await initialised()
      expect(await node.stop()).toEqual({ code: 0, signal: null })
      expect((await waitFor('sessionEnded')).reason).toBe('shutdown')
      expect(connectors()).toEqual([])
      expect(sessionFiles()).toEqual([])
    })

    it('starts the connector again after somebody killed it', async () => {
      const { waitFor } = await agent()
      const node = await initialised()
      const [connector] = connectors()
      process.kill(connector?.pid ?? Number.NaN, 'SIGKILL')
      await waitFor('sessionEnded')
      await waitUntil(async () => (await challenge(node)).status === 200, { what: 'an answer', ...WAIT })
      expect(connectors()).toHaveLength(1)
      expect(connectors()[0]?.pid).not.toBe(connector?.pid)
      await waitUntil(() => sessionFiles().length === 1, { what: 'one session', ...WAIT })
    })

    it('shares an agent with another server, which is reported', async () => {
      const { waitFor } = await agent()
      const [first, second] = [await initialised('n1'), await initialised('n2')]
      expect((await waitFor('secondLiveSession')).otherSessionIds).toHaveLength(1)
      await Promise.all([first.restart({ until: 'active' }), second.restart({ until: 'active' })])
      expect(connectors()).toHaveLength(2)
    })

    it('stays up and sealed while no seal opens, logs our words, and opens by itself later', async () => {
      const first = await agent()
      const node = await initialised()
      await node.stop()
      await first.stop()
      const refusing = await agent({ decrypt: 'refuse' })
      await node.start({ until: 'sealed' })
      await waitUntil(() => logOf(node).includes('FIXTURE_NO_SEAL: no seal opens yet, enter shares'), {
        what: 'our words in the log',
        ...WAIT,
      })
      await refusing.stop()
      await agent()
      await node.waitFor('active')
    })

    it('gives nothing of ours to people without a token when Encrypt fails', async () => {
      const first = await agent()
      const node = await initialised()
      await first.stop()
      const leaking = await agent({ encrypt: 'leak' })
      const { status, text } = await challenge(node)
      expect(status).toBe(500)
      expect(text).toContain('SEAL_PLUGIN_SERVICE_FAILED')
      expect(text).not.toMatch(/tpmrm0|\/var\/lib|\/dev/)
      const failed = await leaking.waitFor('called', 0)
      expect(failed).toBeDefined()
      expect(JSON.stringify(leaking.lines)).toContain('/dev/tpmrm0')
    })

    it('ends with our words when the options of the stanza are refused', async () => {
      await agent()
      const started = server('n1', { seal: seal({ options: { refuse: 'x' } }) })
      await expect(started).rejects.toThrow('FIXTURE_OPTION: unknown option "refuse"')
    })

    it('does not start a connector whose checksum is another', async () => {
      await agent()
      const started = server('n1', { seal: seal({ sha256: '0'.repeat(64) }) })
      await expect(started).rejects.toThrow('checksums did not match')
      expect(connectors()).toEqual([])
    })
  },
)
