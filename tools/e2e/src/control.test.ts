import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type SealedNode } from '@sealwright/testing-cluster'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { askControl, readMetric } from './control-request.ts'
import { expectPrograms } from './node-programs.ts'
import { bootstrapNode, endNode, initialise, type ServedNode, startAnotherAgent } from './served-node.ts'
import { statusOf, waitForAgentLine } from './tpm-node.ts'

let folder: TemporaryFolder
let served: ServedNode
let node: SealedNode

beforeEach(async () => {
  folder = await temporaryFolder()
  served = await bootstrapNode(folder.path)
  node = served.node
})

afterEach(async () => {
  await endNode(node)
  await folder.remove()
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
    const { keyring } = JSON.parse((await askControl(node, '/v1/sys/seal-status')).text) as {
      keyring: { keyId: string }
    }
    for (const hidden of [folder.path, 'tpm.sock', '127.0.0.1', keyring.keyId]) expect(text).not.toContain(hidden)
    expect(text).not.toMatch(/="[^"]*\//)
  })

  it('answers what it does not know, or cannot read, without a word about itself', async () => {
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'agent serves' })
    await expect(askControl(node, '/v1/sys/seals')).resolves.toEqual({
      status: 404,
      text: '{"errors":["no such path"]}',
    })
    await expect(askControl(node, '/readyz', 'DELETE')).resolves.toMatchObject({ status: 404 })
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
    expect(ready.stdout).toMatch(/^seal +tpm \(tpm, priority 1\): opens, unwrapped 0 s ago in [\d.]+ ms$/m)
    expect(ready.stdout).toMatch(/^openbao +http:\/\/127\.0\.0\.1:\d+: active, version 2\.7\.2/m)

    await node.tpm.stop()
    // Nobody looks at the TPM: what was proven last still stands.
    await expect(statusOf(node, '--no-probe')).resolves.toMatchObject({ exitCode: 0, verdict: { kind: 'ready' } })
    const atRisk = await node.sealctl('status')
    expect(atRisk.exitCode).toBe(3)
    expect(atRisk.stdout).toMatch(/^verdict +AT RISK\n +seal tpm does not open: TPM_UNREACHABLE: /m)
    await expect(statusOf(node, '--no-probe')).resolves.toMatchObject({ exitCode: 3, verdict: { kind: 'at-risk' } })

    node.agent().kill('SIGKILL')
    await node.agent().exited
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
    await expectNoDebuggerAfterUsr1(node.agent().pid, () => {
      node.agent().kill('SIGUSR1')
    })
    expect(node.agent().end()).toBeUndefined()
    await node.agent().stop()

    const plain = await startAnotherAgent(node, node.configPath, [])
    await plain.waitFor(() => readFileSync(plain.logPath, 'utf8').includes('"agent serves"'), {
      what: 'the agent without options to serve',
      timeoutMs: 20_000,
    })
    await expectNoDebuggerAfterUsr1(plain.pid, () => {
      plain.kill('SIGUSR1')
    })
    expect(plain.logTail()).not.toContain('Debugger')
    await expect(plain.stop()).resolves.toEqual({ code: 0, signal: null })
  })

  it('end it with 0 while it still waits for its TPM, at once and with nothing left', async () => {
    await node.tpm.kill()
    await node.startAgent()
    await waitForAgentLine(node, { msg: 'seal failed' })
    node.agent().kill('SIGINT')
    await expect(node.agent().exited).resolves.toEqual({ code: 0, signal: null })
    expect(readdirSync(folder.path)).not.toContain('control.sock')
    await expectPrograms(folder.path)
    await node.tpm.start()
  })
})

async function expectNoDebuggerAfterUsr1(pid: number, send: () => void): Promise<void> {
  send()
  // Two round trips: the signal has been dealt with by then.
  await askControl(node, '/healthz')
  await expect(askControl(node, '/healthz')).resolves.toMatchObject({ status: 200 })
  expect(listeningTcpSockets(pid)).toEqual([])
}

const TCP_LISTEN = '0A'

/** Local addresses on which a process listens, as /proc/net/tcp writes them (proc(5)). */
function listeningTcpSockets(pid: number): readonly string[] {
  const inodes = readdirSync(`/proc/${pid}/fd`).map(
    fd => /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${fd}`))?.[1],
  )
  return ['tcp', 'tcp6'].flatMap(table =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .map(line => line.trim().split(/ +/))
      .filter(fields => fields[3] === TCP_LISTEN && inodes.includes(fields[9]))
      .map(fields => fields[1] ?? ''),
  )
}

function readLink(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    // The descriptor was closed meanwhile.
    return ''
  }
}
