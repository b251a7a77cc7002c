import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { type SealedNode } from '@sealwright/testing-cluster'
import { type StartedProcess } from '@sealwright/testing-rig'
import { askControl, readMetric } from './control-request.ts'
import { listeningTcpPorts } from './listening-ports.ts'
import { statusOf } from './node-health.ts'
import { endOf, killAgent, startAnotherAgent } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { expectPrograms } from './node-programs.ts'
import { bootstrapNode, initialise, type ServedNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()
let served: ServedNode
let node: SealedNode

beforeEach(async () => {
  served = await bootstrapNode(scope)
  node = served.node
})

describe('the control API', () => {
  it('is alive at once, ready only after a real unwrap, and says why it is not', async () => {
    await node.tpm.kill()
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'seal failed', code: 'TPM_UNREACHABLE' })
    await expect(askControl(node, '/healthz')).resolves.toEqual({ status: 200, text: '{"status":"ok"}' })
    await expect(askControl(node, '/readyz')).resolves.toEqual({ status: 503, text: '{"ready":false}' })
    await expect(readMetric(node, 'sealwright_open')).resolves.toBe(0)
    const sealed = JSON.parse((await askControl(node, '/v1/sys/seal-status')).text) as unknown
    expect(sealed).toMatchObject({
      state: 'sealed',
      sessions: 0,
      openbao: { state: 'unreachable' },
      seals: [{ name: 'tpm', health: { state: 'failing', code: 'TPM_UNREACHABLE', retrying: true } }],
    })
    expect(sealed).not.toHaveProperty('keyring')

    await node.tpm.start()
    await waitForAgentLine(node, { msg: 'keyring opened' })
    await expect(askControl(node, '/readyz')).resolves.toEqual({ status: 200, text: '{"ready":true}' })
    await initialise(served)
    expect(JSON.parse((await askControl(node, '/v1/sys/seal-status')).text)).toMatchObject({
      state: 'open',
      sessions: 1,
      pid: node.agent().pid,
      keyring: { generation: 1, openedBy: 'tpm' },
      openbao: { state: 'active' },
    })
    expect(lstatSync(node.controlSocketPath).mode & 0o777).toBe(0o600)
  })

  it('counts in its metrics what happened, and shows no path, address or key id there', async () => {
    await node.startAgent()
    await initialise(served)
    const { status, text } = await askControl(node, '/metrics')
    expect(status).toBe(200)
    await expect(readMetric(node, 'sealwright_open')).resolves.toBe(1)
    await expect(readMetric(node, 'sealwright_sessions')).resolves.toBe(1)
    await expect(
      readMetric(node, 'sealwright_plugin_calls_total', 'method="Encrypt",result="ok"'),
    ).resolves.toBeGreaterThan(0)
    await expect(readMetric(node, 'sealwright_seal_attempts_total', 'seal="tpm",result="opened"')).resolves.toBe(1)
    const { keyring: { keyId } = {} } = await statusOf(node, '--no-probe')
    expect(keyId).toMatch(/^sw-/)
    for (const hidden of [scope.folder.path, 'tpm.sock', '127.0.0.1', keyId]) expect(text).not.toContain(hidden)
    expect(text).not.toMatch(/="[^"]*\//)
  })

  it('answers what it does not know, or cannot read, without a word about itself', async () => {
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'agent serves' })
    await expect(askControl(node, '/v1/sys/nothing')).resolves.toEqual({
      status: 404,
      text: '{"errors":["no such path"],"code":"CONTROL_PATH_UNKNOWN"}',
    })
    await expect(askControl(node, '/readyz', 'DELETE')).resolves.toMatchObject({ status: 405 })
    await expect(askControl(node, '/%zz')).resolves.toMatchObject({ status: 400 })
  })
})

describe('sealctl status', () => {
  it('ends with 0 when ready, with 3 and the code when the next start is at risk, and with 2 when not ready', async () => {
    await node.startAgent()
    await initialise(served)
    const ready = await node.sealctl('status')
    expect(ready).toMatchObject({ exitCode: 0, stderr: '' })
    expect(ready.stdout).toMatch(/^verdict +ready$/m)
    expect(ready.stdout).toMatch(/^seal +tpm \(tpm, priority 1\): opens, unwrapped \d s ago in [\d.]+ ms$/m)
    expect(ready.stdout).toMatch(/^openbao +http:\/\/127\.0\.0\.1:\d+: active, version 2\.7\.2/m)

    await node.tpm.stop()
    // Nobody looks at the TPM: what was proven last still stands.
    await expect(statusOf(node, '--no-probe')).resolves.toMatchObject({ exitCode: 0, verdict: { kind: 'ready' } })
    const atRisk = await node.sealctl('status')
    expect(atRisk.exitCode).toBe(3)
    expect(atRisk.stdout).toMatch(/^verdict +AT RISK\n +seal tpm does not open: TPM_UNREACHABLE: /m)
    await expect(statusOf(node, '--no-probe')).resolves.toMatchObject({ exitCode: 3, verdict: { kind: 'at-risk' } })

    await killAgent(node)
    const alone = await node.sealctl('status')
    expect(alone).toMatchObject({ exitCode: 1, stdout: '' })
    expect(alone.stderr).toContain(`sealctl: CONTROL_NO_AGENT: no agent answers on ${node.controlSocketPath}`)
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'seal failed' })
    await expect(statusOf(node)).resolves.toMatchObject({
      exitCode: 2,
      verdict: { kind: 'not-ready' },
      state: 'sealed',
    })

    await node.tpm.start()
    await waitForAgentLine(node, { msg: 'keyring opened' })
    await expect(statusOf(node)).resolves.toMatchObject({ exitCode: 0, verdict: { kind: 'ready' } })
  })
})

describe('signals to the agent', () => {
  it('open no debugger by SIGUSR1, with or without the option of Node that forbids it', async () => {
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'agent serves' })
    await expectNoDebuggerAfterUsr1(node.agent())
    expect(node.agent().end()).toBeUndefined()
    await node.agent().stop()

    const plain = await startAnotherAgent(scope, node.configPath, [])
    await plain.waitFor(() => readFileSync(plain.logPath, 'utf8').includes('"agent serves"'), {
      what: 'the agent without options to serve',
      timeoutMs: 60_000,
    })
    await expectNoDebuggerAfterUsr1(plain)
    expect(plain.logTail()).not.toContain('Debugger')
    await expect(plain.stop()).resolves.toEqual({ code: 0, signal: null })
  })

  it('end it with 0 while it still waits for its TPM, at once and with nothing left', async () => {
    await node.tpm.kill()
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'seal failed' })
    node.agent().kill('SIGINT')
    expect(await endOf(node.agent())).toEqual({ code: 0, signal: null })
    expect(readdirSync(scope.folder.path)).not.toContain('control.sock')
    await expectPrograms(scope.folder.path)
  })
})

async function expectNoDebuggerAfterUsr1({ kill, pid }: StartedProcess): Promise<void> {
  kill('SIGUSR1')
  // Two round trips: the signal has been dealt with by then.
  await askControl(node, '/healthz')
  await expect(askControl(node, '/healthz')).resolves.toMatchObject({ status: 200 })
  expect(listeningTcpPorts(pid)).toEqual([])
}
