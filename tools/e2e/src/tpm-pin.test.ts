import { chmod, rename, rm, writeFile } from 'node:fs/promises'
import { type SealedNode } from '@sealwright/testing-cluster'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import {
  agentLines,
  boot,
  cutPower,
  expectOpensByItself,
  expectSealed,
  openNode,
  type OpenedNode,
  expectSealFails,
  storeBytes,
  waitForAgentLine,
  waitForOpenBaoLog,
} from './tpm-node.ts'
import { proxyTpm, TPM_CC_Unseal, type TpmProxy } from './tpm-proxy.ts'
import { isInLockout, lockoutCounter, tpm2 } from './tpm-tools.ts'

const PIN = 'correct horse'
const WRONG_PIN = 'battery staple'
/** How many wrong tries swtpm allows (TPM_PT_MAX_AUTH_FAIL); real TPMs have limits of their own. */
const MAX_AUTH_FAIL = 3

let folder: TemporaryFolder
let proxy: TpmProxy
let node: SealedNode
let openbao: OpenedNode['openbao']
let pinFile: string
let before: Awaited<ReturnType<typeof storeBytes>>

beforeEach(async () => {
  folder = await temporaryFolder()
  pinFile = folder.join('pin')
  proxy = await proxyTpm(folder.join('proxy.sock'), folder.join('tpm/tpm.sock'))
  await writePin(PIN)
  ;({ node, openbao } = await openNode(folder.path, { tpmSocketPath: proxy.socketPath, seal: { pinFile } }))
  before = await storeBytes(node)
  await cutPower(node)
})

afterEach(async () => {
  const after = await storeBytes(node)
  await node[Symbol.asyncDispose]()
  await proxy[Symbol.asyncDispose]()
  await folder.remove()
  expect(after).toEqual(before)
})

describe('a wrong PIN', () => {
  it('reaches the TPM once however often OpenBao and an operator ask, and the node opens once it is mended', async () => {
    const triesBefore = proxy.countOf(TPM_CC_Unseal)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
    await writePin(WRONG_PIN)
    await boot(node)
    await expectSealed(node, WRONG)
    await waitForOpenBaoLog(node, 'no seal opens the keyring (tpm: TPM_PIN_WRONG)', 3)
    for (let asked = 0; asked < 3; asked++) await expectSealed(node, WRONG)
    const { stdout } = await node.sealctl('status')
    expect(stdout).toMatch(/^seal +tpm \(tpm, priority 1\): TPM_PIN_WRONG for \d+ s, waits for an operator$/m)
    expect(proxy.countOf(TPM_CC_Unseal) - triesBefore).toBe(1)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(1)

    await writePin(PIN)
    await hangUp()
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(1)
  })

  it('never locks the TPM by restarts of the agent: the last try is held back until the counter was reset', async () => {
    const triesBefore = proxy.countOf(TPM_CC_Unseal)
    await writePin(WRONG_PIN)
    for (let start = 1; start < MAX_AUTH_FAIL; start++) {
      await boot(node)
      await expectSealFails(node, WRONG)
      await expect(lockoutCounter(node.tpm)).resolves.toBe(start)
      await cutPower(node)
    }
    await boot(node)
    await expectSealed(node, HELD_BACK)
    await hangUp()
    await expectSealFails(node, HELD_BACK)
    expect(proxy.countOf(TPM_CC_Unseal) - triesBefore).toBe(MAX_AUTH_FAIL - 1)
    await expect(isInLockout(node.tpm)).resolves.toBe(false)

    await writePin(PIN)
    await tpm2(node.tpm, 'dictionarylockout', '--clear-lockout')
    await expectOpensByItself(node)
  })

  it('is not sent again when its refusal got lost on the way, since the TPM may have counted it', async () => {
    const triesBefore = proxy.countOf(TPM_CC_Unseal)
    await writePin(WRONG_PIN)
    proxy.setFate(code => ({ kind: code === TPM_CC_Unseal ? 'cut' : 'pass' }))
    await boot(node)
    await expectSealed(node, UNKNOWN)
    for (let asked = 0; asked < 3; asked++) await expectSealed(node, UNKNOWN)
    expect(proxy.countOf(TPM_CC_Unseal) - triesBefore).toBe(1)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(1)

    proxy.setFate(() => ({ kind: 'pass' }))
    await writePin(PIN)
    await hangUp()
    await expectOpensByItself(node)
  })
})

describe('a TPM in lockout', () => {
  it('is not asked again, and opens after the lockout was cleared and the agent was told', async () => {
    await makeWrongTries(MAX_AUTH_FAIL)
    await boot(node)
    await expectSealed(node, LOCKOUT)
    const tries = proxy.countOf(TPM_CC_Unseal)
    for (let asked = 0; asked < 3; asked++) await expectSealed(node, LOCKOUT)
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(tries)

    await tpm2(node.tpm, 'dictionarylockout', '--clear-lockout')
    await expectSealFails(node, LOCKOUT)
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(tries)
    await hangUp()
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
  })
})

describe('power cuts of a node with a PIN', () => {
  it('count as wrong tries however right it is; it is held back before they lock the TPM', async () => {
    await node.tpm.powerCycle()
    await expect(lockoutCounter(node.tpm)).resolves.toBe(1)
    await boot(node)
    await waitForAgentLine(node, { msg: 'keyring opened' })
    await cutPower(node)
    await node.tpm.powerCycle()
    await expect(lockoutCounter(node.tpm)).resolves.toBe(2)
    await boot(node)
    await expectSealed(node, HELD_BACK)
    await expect(isInLockout(node.tpm)).resolves.toBe(false)

    await tpm2(node.tpm, 'dictionarylockout', '--clear-lockout')
    await expectOpensByItself(node)
  })
})

describe('a PIN that cannot be had', () => {
  it('is asked for when the configuration names no file, without a try at the TPM', async () => {
    const tries = proxy.countOf(TPM_CC_Unseal)
    await node.writeConfig({ tpmSocketPath: proxy.socketPath, openbao })
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_PIN_REQUIRED',
      message: 'this key was sealed with a PIN: give it',
      retrying: false,
    })
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(tries)

    await node.writeConfig({ tpmSocketPath: proxy.socketPath, openbao, seal: { pinFile } })
    await cutPower(node)
    await boot(node)
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
  })

  it('is named whatever is wrong with its file, without a try at the TPM, and used once it is mended', async () => {
    const tries = proxy.countOf(TPM_CC_Unseal)
    await rm(pinFile)
    await boot(node)
    await expectSealed(node, {
      code: 'SECRET_FILE_UNREADABLE',
      message: `cannot read ${pinFile}: ENOENT`,
      retrying: true,
    })
    await writeFile(pinFile, '', { mode: 0o600 })
    await expectSealFails(node, { code: 'SECRET_FILE_SIZE', message: 'must hold 1 to 4096 bytes', retrying: true })
    await writePin(PIN, 0o644)
    await expectSealFails(node, {
      code: 'SECRET_FILE_UNSAFE',
      message: `${pinFile} is open to others`,
      retrying: true,
    })
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(tries)

    await chmod(pinFile, 0o600)
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
  })
})

const WRONG = { code: 'TPM_PIN_WRONG', message: 'the TPM refused the PIN, and counted it', retrying: false }
const UNKNOWN = { code: 'TPM_PIN_UNKNOWN', message: 'the PIN was sent, and it is not known', retrying: false }
const HELD_BACK = {
  code: 'TPM_PIN_HELD_BACK',
  message: `the PIN was not sent: the TPM counts ${MAX_AUTH_FAIL - 1} failed tries`,
  retrying: true,
}
const LOCKOUT = { code: 'TPM_LOCKOUT', message: 'the TPM is in lockout after too many wrong PINs', retrying: false }

/** In one step: the agent must never read half a PIN, which would be a wrong one. */
async function writePin(pin: string, mode = 0o600): Promise<void> {
  await writeFile(`${pinFile}.new`, `${pin}\n`, { mode })
  await rename(`${pinFile}.new`, pinFile)
}

/** SIGHUP: the operator has changed something. */
async function hangUp(): Promise<void> {
  const told = agentLines(node, RELOADED_LINE).length
  node.agent().kill('SIGHUP')
  await node.agent().waitFor(() => agentLines(node, RELOADED_LINE).length > told, {
    what: 'the agent to hear the SIGHUP',
    timeoutMs: 10_000,
  })
}

const RELOADED_LINE = { msg: 'seals are tried again' }

/** Wrong tries by another program, at an NV index that counts them as a sealed key with a PIN does. */
async function makeWrongTries(count: number): Promise<void> {
  const index = '0x1500016'
  await tpm2(node.tpm, 'nvdefine', index, '-C', 'o', '-s', '8', '-p', PIN, '-a', 'authread|authwrite')
  for (let tried = 1; tried <= count; tried++) {
    await expect(tpm2(node.tpm, 'nvread', index, '-C', index, '-P', WRONG_PIN)).rejects.toThrow('tpm2_nvread')
    await expect(lockoutCounter(node.tpm)).resolves.toBe(tried)
  }
  await expect(isInLockout(node.tpm)).resolves.toBe(true)
}
