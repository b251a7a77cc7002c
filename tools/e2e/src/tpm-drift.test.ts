import { copyFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type SealedNode } from '@sealwright/testing-cluster'
import { expectBootstraps, expectSealClosed } from './bootstrap-run.ts'
import { type ExpectedFailure, expectOpensByItself, expectSealed } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
import { openNode } from './served-node.ts'
import { keyringPath, storeEntries, type StoreEntries } from './store-files.ts'
import { testScope } from './test-scope.ts'
import { extendPcr, lockoutCounter } from './tpm-tools.ts'

/** Where the firmware measures its state (TCG PC Client Platform Firmware Profile, clause 3.3.4). */
const FIRMWARE_PCR = 7
/** For debugging; nothing that boots measures into it. */
const DEBUG_PCR = 16

const scope = testScope()
let node: SealedNode
let sealKeyPath: string
let rootToken: string
let before: StoreEntries

beforeEach(async () => {
  ;({ node, sealKeyPath, rootToken } = await openNode(scope, { seal: { pcrs: [FIRMWARE_PCR, DEBUG_PCR] } }))
  before = await storeEntries(node.storePath)
})

describe('a PCR that has drifted', () => {
  it('is refused and named, and no other is; the node opens after a boot that brings it back', async () => {
    await cutPower(node)
    await extendPcr(node.tpm, DEBUG_PCR)

    await boot(node)
    await expectSealed(node, drifted(DEBUG_PCR))

    await node.tpm.powerCycle()
    await expectOpensByItself(node)
    await expect(lockoutCounter(node.tpm)).resolves.toBe(0)
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)
  })

  it('was meant: the node is sealed anew with the seal key and --reseal, and OpenBao opens with all its data', async () => {
    await writeSecret()
    await cutPower(node)

    await bootNewFirmware()
    await expectSealed(node, drifted(FIRMWARE_PCR))
    // The seal key alone must not do it: a drift may be an attack.
    await expectSealClosed(node, 'TPM_PCR_MISMATCH', sealKeyPath)
    await expect(storeEntries(node.storePath)).resolves.toEqual(before)

    await expectBootstraps(node, sealKeyPath, 'renewed', ['--reseal'])
    const { 'keyring.previous': previous } = await storeEntries(node.storePath)
    expect(previous?.hex).toBe(before.keyring?.hex)
    await expectOpensByItself(node)
    await expectSecret()

    await cutPower(node)
    await bootNewFirmware()
    await expectOpensByItself(node)
    await expectSecret()

    // The new firmware turns out to be bad: back to the old one, and to the keyring that was kept.
    await cutPower(node)
    await node.tpm.powerCycle()
    await boot(node)
    await expectSealed(node, drifted(FIRMWARE_PCR))
    const copy = scope.folder.join('keyring.copy')
    await copyFile(join(node.storePath, 'keyring.previous'), copy)
    await rename(copy, keyringPath(node))
    await expectOpensByItself(node)
    await expectSecret()

    // OpenBao has brought the record of the bad firmware: one for the state of today is made, or the next start would fail.
    await waitForAgentLine(node, { msg: 'seals have new records' })
    await cutPower(node)
    await node.tpm.powerCycle()
    await boot(node)
    await expectOpensByItself(node)
    await expectSecret()
  })
})

function drifted(pcr: number): ExpectedFailure {
  return {
    code: 'TPM_PCR_MISMATCH',
    message: `this machine is not in the state that the seal demands: PCR ${pcr} changed since sealing`,
    retrying: true,
  }
}

/** A boot of the machine in which the firmware measures another version of itself. */
async function bootNewFirmware(): Promise<void> {
  await node.tpm.powerCycle()
  await extendPcr(node.tpm, FIRMWARE_PCR)
  await boot(node)
}

async function writeSecret(): Promise<void> {
  const bao = node.openBao()
  const mounted = await bao.request({
    method: 'POST',
    path: 'sys/mounts/secret',
    body: { type: 'kv' },
    token: rootToken,
  })
  expect(mounted).toMatchObject({ status: 204 })
  const body = { proof: 'written before the update' }
  const written = await bao.request({ method: 'PUT', path: 'secret/proof', body, token: rootToken })
  expect(written).toMatchObject({ status: 204 })
}

async function expectSecret(): Promise<void> {
  await expect(node.openBao().request({ path: 'secret/proof', token: rootToken })).resolves.toMatchObject({
    status: 200,
    body: { data: { proof: 'written before the update' } },
  })
}
