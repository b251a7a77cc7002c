import { type SealedNode, type SealedNodeConfig } from '@sealwright/testing-cluster'
import {
  answerOf,
  BOOTSTRAP_EXIT,
  expectBootstraps,
  expectRefusal,
  expectSealClosed,
  NO_SEAL_KEY,
  unprovenAnswerOf,
} from './bootstrap-run.ts'
import { expectOpensByItself, expectSealed } from './node-health.ts'
import { boot, cutPower, hangUp } from './node-life.ts'
import { createPinFile, PIN_IS_WRONG, type PinFile, WRONG_PIN } from './pin-node.ts'
import { openProxiedNode } from './served-node.ts'
import { storeEntries, type StoreEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'
import { TPM_CC_CreatePrimary, type TpmProxy } from './tpm-proxy.ts'
import { extendPcr } from './tpm-tools.ts'

const WEAKER = {
  code: 'TPM_POLICY_WEAKER',
  message:
    'this key was sealed under weaker conditions than the seal is configured with: it opens without a PIN and it is not bound to ' +
    'PCR 7, 16; run bootstrap-init with the seal key',
  retrying: false,
}

const scope = testScope()
let proxy: TpmProxy
let node: SealedNode
let sealKeyPath: string
let pinFile: PinFile
/** How the node was bootstrapped: without conditions. */
let config: SealedNodeConfig
/** The same node with all conditions. */
let strictConfig: SealedNodeConfig
let before: StoreEntries

beforeEach(async () => {
  pinFile = await createPinFile(scope)
  ;({ node, sealKeyPath, config, proxy } = await openProxiedNode(scope))
  strictConfig = { ...config, seal: { pcrs: [7, 16], pinFile: pinFile.path } }
  before = await storeEntries(node.storePath)
})

describe('conditions that are set on a node which is enrolled already', () => {
  it('keep it closed until it is sealed anew with the seal key, and then they hold', async () => {
    await node.writeConfig(strictConfig)
    await boot(node)
    await expectSealed(node, WEAKER)
    await expectSealClosed(node, WEAKER.code)
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)

    await expectBootstraps(node, sealKeyPath, 'renewed')
    const { 'keyring.previous': previous } = await storeEntries(node.storePath)
    expect(previous?.hex).toBe(before.keyring?.hex)
    await hangUp(node)
    await expectOpensByItself(node)
    const again = unprovenAnswerOf(await node.bootstrap(sealKeyPath))
    expect(again).toMatchObject({ result: 'unchanged', seals: [{ state: 'not-tried' }] })

    await cutPower(node)
    await extendPcr(node.tpm, 16)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_PCR_MISMATCH',
      message: 'PCR 16 changed since sealing',
      retrying: true,
    })
    await cutPower(node)
    await node.tpm.powerCycle()
    await pinFile.write(WRONG_PIN)
    await boot(node)
    await expectSealed(node, PIN_IS_WRONG)
  })

  it('do no harm when they are taken back', async () => {
    await node.writeConfig(strictConfig)
    await boot(node)
    await expectSealed(node, WEAKER)
    await cutPower(node)

    await node.writeConfig(config)
    await boot(node)
    await expectOpensByItself(node)
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)
  })
})

describe('the name of the TPM in the configuration', () => {
  it('is printed by bootstrap-init, and with it a node talks to that TPM alone', async () => {
    const { seals } = answerOf(await node.bootstrap(NO_SEAL_KEY))
    const storageKeyName = seals[0]?.storageKeyNames[0]
    expect(storageKeyName).toMatch(/^000b[0-9a-f]{64}$/)
    await node.writeConfig({ ...config, seal: { storageKeyName } })
    await boot(node)
    await expectOpensByItself(node)
    await cutPower(node)

    await node.tpm.replace()
    expectRefusal(await node.bootstrap(sealKeyPath), 'TPM_NAME_MISMATCH', BOOTSTRAP_EXIT.seal)

    await node.writeConfig({ ...config, seal: { storageKeyName: `000b${'00'.repeat(32)}`, pinFile: pinFile.path } })
    const asked = proxy.countOf(TPM_CC_CreatePrimary)
    await boot(node)
    await expectSealed(node, {
      code: 'TPM_NAME_MISMATCH',
      message: 'the keyring has no record for the storage key that the configuration names',
      retrying: true,
    })
    expect(proxy.countOf(TPM_CC_CreatePrimary)).toBe(asked)
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)
  })
})
