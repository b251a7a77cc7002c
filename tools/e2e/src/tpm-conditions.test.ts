import { rename, writeFile } from 'node:fs/promises'
import { programCommand, type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { startProcess, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import {
  agentLines,
  boot,
  cutPower,
  expectOpensByItself,
  expectSealed,
  openNode,
  statusOf,
  storeBytes,
  waitForAgentLine,
} from './tpm-node.ts'
import { proxyTpm, TPM_CC_CreatePrimary, TPM_CC_Unseal, type TpmProxy } from './tpm-proxy.ts'
import { isInLockout, lockoutCounter, tpm2 } from './tpm-tools.ts'

const PIN = 'correct horse'
const WRONG_PIN = 'battery staple'
const NO_SEAL_KEY = '/nonexistent'
/** How many wrong tries swtpm allows (TPM_PT_MAX_AUTH_FAIL). */
const MAX_AUTH_FAIL = 3

let folder: TemporaryFolder
let proxy: TpmProxy
let node: SealedNode
let sealKeyPath: string
let pinFile: string
/** Everything in the node's configuration beside its seal. */
let base: SealedNodeConfig

beforeEach(async () => {
  folder = await temporaryFolder()
  pinFile = folder.join('pin')
  proxy = await proxyTpm(folder.join('proxy.sock'), folder.join('tpm/tpm.sock'))
  await writePin(PIN)
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await proxy[Symbol.asyncDispose]()
  await folder.remove()
})

async function setUp(seal: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const opened = await openNode(folder.path, { tpmSocketPath: proxy.socketPath, seal })
  ;({ node, sealKeyPath } = opened)
  base = { tpmSocketPath: proxy.socketPath, openbao: opened.openbao }
  await cutPower(node)
}

const WEAKER = {
  code: 'TPM_POLICY_WEAKER',
  message:
    'this key was sealed under weaker conditions than the seal is configured with: it opens without a PIN and it is not bound to ' +
    'PCR 7, 16; run bootstrap-init with the seal key',
  retrying: false,
}

describe('conditions that are set on a node which is enrolled already', () => {
  it('keep it closed until it is sealed anew with the seal key, and then they hold', async () => {
    await setUp()
    const seal = { pcrs: [7, 16], pinFile }
    await node.writeConfig({ ...base, seal })
    const before = await storeBytes(node)
    await boot(node)
    await expectSealed(node, WEAKER)
    await expect(bootstrap(NO_SEAL_KEY)).resolves.toMatchObject({
      result: 'unchanged',
      seals: [{ state: 'fails', code: WEAKER.code }],
    })
    await expect(storeBytes(node)).resolves.toEqual(before)

    await expect(bootstrap(sealKeyPath)).resolves.toMatchObject({ result: 'renewed', seals: [{ state: 'opens' }] })
    await expect(storeBytes(node)).resolves.toMatchObject({ 'keyring.previous': before.keyring })
    await hangUp()
    await expectOpensByItself(node)
    await expect(bootstrap(sealKeyPath)).resolves.toMatchObject({
      result: 'unchanged',
      seals: [{ state: 'not-tried' }],
    })

    await cutPower(node)
    await tpm2(node.tpm, 'pcrextend', `16:sha256=${'5e'.repeat(32)}`)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_PCR_MISMATCH',
      message: 'PCR 16 changed since sealing',
      retrying: true,
    })
    await cutPower(node)
    await node.tpm.powerCycle()
    await writePin(WRONG_PIN)
    await boot(node)
    await expectSealed(node, { code: 'TPM_PIN_WRONG', message: 'the TPM refused the PIN', retrying: false })
  })

  it('do no harm when they are taken back', async () => {
    await setUp()
    const before = await storeBytes(node)
    await node.writeConfig({ ...base, seal: { pcrs: [7, 16], pinFile } })
    await boot(node)
    await expectSealed(node, WEAKER)
    await cutPower(node)
    await node.writeConfig(base)
    await boot(node)
    await expectOpensByItself(node)
    await expect(storeBytes(node)).resolves.toEqual(before)
  })
})

describe('a PIN of which nobody knows what became', () => {
  const UNKNOWN = {
    code: 'TPM_PIN_UNKNOWN',
    message: 'the PIN was sent, and it is not known what became of it',
    retrying: false,
  }

  it('is not sent again when the answer came too late, and opens once the operator says so', async () => {
    await setUp({ pinFile })
    await node.writeConfig({ ...base, seal: { pinFile, deadlineMs: 2_500 } })
    proxy.setFate(code => ({ kind: code === TPM_CC_Unseal ? 'swallow' : 'pass' }))
    const tries = proxy.countOf(TPM_CC_Unseal)
    await boot(node)
    await expectSealed(node, UNKNOWN)
    for (let asked = 0; asked < 3; asked++) await expectSealed(node, UNKNOWN)
    expect(proxy.countOf(TPM_CC_Unseal) - tries).toBe(1)

    proxy.setFate(() => ({ kind: 'pass' }))
    await hangUp()
    await expectOpensByItself(node)
  })

  it('is not forgotten when whoever asked for the try went away meanwhile', async () => {
    await setUp({ pinFile })
    await boot(node)
    await expectOpensByItself(node)
    proxy.setFate(code => ({ kind: code === TPM_CC_Unseal ? 'swallow' : 'pass' }))
    const tries = proxy.countOf(TPM_CC_Unseal)
    const { command, args } = programCommand('sealctl')
    await using asking = await startProcess({
      name: 'sealctl',
      command,
      args: [...args, 'status', '--socket', node.controlSocketPath],
      logDirectory: folder.path,
    })
    await asking.waitFor(() => proxy.countOf(TPM_CC_Unseal) > tries, {
      what: 'the PIN to be sent',
      timeoutMs: 10_000,
    })
    asking.kill('SIGKILL')
    await asking.exited
    await waitForAgentLine(node, { msg: 'seal failed', code: UNKNOWN.code })

    proxy.setFate(() => ({ kind: 'pass' }))
    await expect(statusOf(node)).resolves.toMatchObject({
      verdict: { kind: 'at-risk' },
      state: 'open',
      seals: [{ health: { code: UNKNOWN.code, retrying: false } }],
    })
    expect(proxy.countOf(TPM_CC_Unseal) - tries).toBe(1)
    await hangUp()
    await expectOpensByItself(node)
  })
})

describe('an agent that is restarted again and again with a wrong PIN', () => {
  it('never locks the TPM, and opens by itself once the PIN is mended and the counter is down', async () => {
    await setUp({ pinFile })
    await writePin(WRONG_PIN)
    for (let restart = 0; restart < MAX_AUTH_FAIL + 1; restart++) {
      await node.startAgent()
      await waitForAgentLine(node, { msg: 'seal failed' })
      await node.agent().stop()
    }
    await expect(lockoutCounter(node.tpm)).resolves.toBe(MAX_AUTH_FAIL - 1)
    await expect(isInLockout(node.tpm)).resolves.toBe(false)

    const tries = proxy.countOf(TPM_CC_Unseal)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_PIN_HELD_BACK',
      message: `the PIN was not sent: the TPM counts ${MAX_AUTH_FAIL - 1} failed tries`,
      retrying: true,
    })
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(tries)
    await writePin(PIN)
    await tpm2(node.tpm, 'dictionarylockout', '--clear-lockout')
    await expectOpensByItself(node)
  })
})

describe('a TPM without a PIN that gives one garbled answer', () => {
  it('is asked again, and the node opens by itself', async () => {
    await setUp()
    let garbled = 0
    proxy.setFate(code => {
      if (code !== TPM_CC_CreatePrimary || garbled > 0) return { kind: 'pass' }
      garbled += 1
      return { kind: 'forge', forge: withGarbledTag }
    })
    await boot(node)
    await expectOpensByItself(node)
    expect(agentLines(node, { msg: 'seal failed' })).toMatchObject([{ code: 'TPM_PROTOCOL' }])
  })
})

describe('the name of the TPM in the configuration', () => {
  it('is printed by bootstrap-init, and with it a node talks to that TPM alone', async () => {
    await setUp()
    const { seals } = await bootstrap(NO_SEAL_KEY)
    const [storageKeyName = ''] = seals[0].storageKeyNames
    expect(storageKeyName).toMatch(/^000b[0-9a-f]{64}$/)
    await node.writeConfig({ ...base, seal: { storageKeyName } })
    await boot(node)
    await expectOpensByItself(node)
    await cutPower(node)

    const before = await storeBytes(node)
    await node.tpm.replace()
    const enrolment = await node.bootstrap(sealKeyPath)
    expect(enrolment).toMatchObject({
      exitCode: 5,
      stderr: expect.stringContaining('bootstrap-init: TPM_NAME_MISMATCH: the TPM that answers has') as string,
    })
    await node.writeConfig({ ...base, seal: { storageKeyName: `000b${'00'.repeat(32)}`, pinFile } })
    const asked = proxy.countOf(TPM_CC_CreatePrimary)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_NAME_MISMATCH',
      message: 'the keyring has no record for the storage key that the configuration names',
      retrying: true,
    })
    expect(proxy.countOf(TPM_CC_CreatePrimary)).toBe(asked)
    await expect(storeBytes(node)).resolves.toEqual(before)
  })
})

interface BootstrapAnswer {
  readonly result: string
  readonly seals: readonly [
    { readonly state: string; readonly code?: string; readonly storageKeyNames: readonly string[] },
  ]
}

/** Runs `bootstrap-init --json`, which must go well. */
async function bootstrap(keyPath: string): Promise<BootstrapAnswer> {
  const { exitCode, stdout, stderr } = await node.bootstrap(keyPath)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return JSON.parse(stdout) as BootstrapAnswer
}

/** A tag that no response has; its size stays right, so that nobody waits for more. */
function withGarbledTag(response: Buffer): Buffer {
  const garbled = Buffer.from(response)
  garbled[0] = (garbled[0] ?? 0) ^ 1
  return garbled
}

/** In one step: the agent must never read half a PIN, which would be a wrong one. */
async function writePin(pin: string): Promise<void> {
  await writeFile(`${pinFile}.new`, `${pin}\n`, { mode: 0o600 })
  await rename(`${pinFile}.new`, pinFile)
}

/** SIGHUP: the operator has changed something. */
async function hangUp(): Promise<void> {
  const reloaded = { msg: 'seals are tried again' }
  const told = agentLines(node, reloaded).length
  node.agent().kill('SIGHUP')
  await node.agent().waitFor(() => agentLines(node, reloaded).length > told, {
    what: 'the agent to hear the SIGHUP',
    timeoutMs: 10_000,
  })
}
