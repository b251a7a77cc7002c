import { chmod, rm, writeFile } from 'node:fs/promises'
import { type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import { expectOpensByItself, expectSealed, expectSealFails } from './node-health.ts'
import { boot, cutPower, hangUp } from './node-life.ts'
import { waitForAgentLine, waitForOpenBaoLog } from './node-log.ts'
import { MAX_AUTH_FAIL, openPinNode, PIN, PIN_IS_HELD_BACK, PIN_IS_WRONG, type PinFile, WRONG_PIN } from './pin-node.ts'
import { storeEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'
import { TPM_CC_Unseal, type TpmProxy } from './tpm-proxy.ts'
import { clearLockout, isInLockout, lockoutCounter, tpm2 } from './tpm-tools.ts'

const scope = testScope()
let proxy: TpmProxy
let node: SealedNode
let config: SealedNodeConfig
let pinFile: PinFile
/** How often the PIN had been sent when the test began. */
let sentBefore: number

beforeEach(async () => {
  ;({ node, config, proxy, pinFile } = await openPinNode(scope))
  sentBefore = proxy.countOf(TPM_CC_Unseal)
  const before = await storeEntries(node.storePath)
  scope.afterwards(async () => {
    expect(await storeEntries(node.storePath)).toEqual(before)
  })
})

/** How often the PIN was sent since. */
function timesSent(): number {
  return proxy.countOf(TPM_CC_Unseal) - sentBefore
}

describe('a wrong PIN', () => {
  it('reaches the TPM once however often OpenBao and an operator ask, and the node opens once it is mended', async () => {
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
    await pinFile.write(WRONG_PIN)

    await boot(node)
    await expectSealed(node, PIN_IS_WRONG)
    await waitForOpenBaoLog(node, 'no seal opens the keyring (tpm: TPM_PIN_WRONG)', 3)
    for (let asked = 0; asked < 3; asked++) await expectSealed(node, PIN_IS_WRONG)
    const { stdout } = await node.sealctl('status')
    expect(stdout).toMatch(/^seal +tpm \(tpm, priority 1\): TPM_PIN_WRONG for \d+ s, waits for an operator$/m)
    expect(timesSent()).toBe(1)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(1)

    await pinFile.write(PIN)
    await hangUp(node)
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(1)
  })

  it('never locks the TPM by restarts of the agent: the last try is held back until the counter was reset', async () => {
    await pinFile.write(WRONG_PIN)
    for (let start = 1; start < MAX_AUTH_FAIL; start++) {
      await boot(node)
      await expectSealFails(node, PIN_IS_WRONG)
      await expect(lockoutCounter(node.tpm)).resolves.toBe(start)
      await cutPower(node)
    }

    await boot(node)
    await expectSealed(node, PIN_IS_HELD_BACK)
    await hangUp(node)
    await expectSealFails(node, PIN_IS_HELD_BACK)
    await node.agent().stop()
    await node.startAgent()
    await expectSealFails(node, PIN_IS_HELD_BACK)
    expect(timesSent()).toBe(MAX_AUTH_FAIL - 1)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(MAX_AUTH_FAIL - 1)
    await expect(isInLockout(node.tpm)).resolves.toBe(false)

    await pinFile.write(PIN)
    await clearLockout(node.tpm)
    await expectOpensByItself(node)
  })
})

describe('a TPM in lockout', () => {
  const LOCKOUT = {
    code: 'TPM_LOCKOUT',
    message: 'the TPM is in lockout after too many wrong PINs',
    retrying: false,
  }

  it('is not asked again, and opens after the lockout was cleared and the agent was told', async () => {
    await makeWrongTries(MAX_AUTH_FAIL)

    await boot(node)
    await expectSealed(node, LOCKOUT)
    const sent = timesSent()
    for (let asked = 0; asked < 3; asked++) await expectSealed(node, LOCKOUT)
    await clearLockout(node.tpm)
    await expectSealFails(node, LOCKOUT)
    expect(timesSent()).toBe(sent)

    await hangUp(node)
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
  })

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
    await expectSealed(node, PIN_IS_HELD_BACK)
    await expect(isInLockout(node.tpm)).resolves.toBe(false)

    await clearLockout(node.tpm)
    await expectOpensByItself(node)
  })
})

describe('a PIN that cannot be had', () => {
  it('is asked for when the configuration names no file, without a try at the TPM', async () => {
    await node.writeConfig({ ...config, seal: {} })

    await boot(node)
    await expectSealed(node, {
      code: 'TPM_PIN_REQUIRED',
      message: 'this key was sealed with a PIN: name its file (pinFile)',
      retrying: false,
    })
    expect(timesSent()).toBe(0)

    await node.writeConfig(config)
    await cutPower(node)
    await boot(node)
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
  })

  it('is named whatever is wrong with its file, without a try at the TPM, and used once it is mended', async () => {
    await rm(pinFile.path)

    await boot(node)
    await expectSealed(node, {
      code: 'SECRET_FILE_UNREADABLE',
      message: `cannot read ${pinFile.path}: ENOENT`,
      retrying: true,
    })
    await writeFile(pinFile.path, '', { mode: 0o600 })
    await expectSealFails(node, { code: 'SECRET_FILE_SIZE', message: 'must hold 1 to 4096 bytes', retrying: true })
    await pinFile.write(PIN, 0o644)
    await expectSealFails(node, {
      code: 'SECRET_FILE_UNSAFE',
      message: `${pinFile.path} is open to others`,
      retrying: true,
    })
    expect(timesSent()).toBe(0)

    await chmod(pinFile.path, 0o600)
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
  })
})
