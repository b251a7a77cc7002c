import { execFile } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { decodeKeyring, encodeKeyring, type Keyring } from '@sealwright/keyring'
import { type NodeConfig, parseNodeConfig } from '@sealwright/node-config'
import { type PcrPolicy, predictPolicy, type SignedPolicy, signPolicy } from '@sealwright/pcr-policies'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { conditionsOf } from '@sealwright/tpm'
import { sha256 } from '@sealwright/tpm-wire'
import { configuredSeals, openThrough, unwrapThroughAny } from '../node-seals.ts'
import { openKeyringStore, readStoredKeyring } from '../store.ts'
import { NO_PROGRAMS, opening, type SealFields, type TpmSeals, tpmSeals } from '../testing/tpm-seals.ts'
import { addToPoliciesFile, retireFromPoliciesFile } from './change.ts'
import { signedSealOf } from './configured.ts'
import { examinePolicies } from './examine.ts'
import { createPoliciesFile, readPoliciesFile, readPoliciesFileIfAny, replacePoliciesFile } from './policies-file.ts'
import { resealTpm } from './reseal.ts'

const run = promisify(execFile)
const { signal } = new AbortController()
const operator = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const publicKey = operator.publicKey.export({ type: 'spki', format: 'pem' }).toString()

/** What a firmware measures of itself into PCR 7 at each boot. */
const OLD_FIRMWARE = '0a'.repeat(32)
const NEW_FIRMWARE = '0b'.repeat(32)

let folder: TemporaryFolder
let swtpm: Swtpm
let seals: TpmSeals
let policiesFile: string
let store: string

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  seals = tpmSeals(swtpm.socketPath)
  policiesFile = join(folder.path, 'policies.json')
  store = join(folder.path, 'store')
  await measure(OLD_FIRMWARE)
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

async function measure(digest: string): Promise<void> {
  await run('tpm2_pcrextend', ['-T', `swtpm:path=${swtpm.socketPath}`, `7:sha256=${digest}`])
}

/** A power cycle, after which the firmware measures itself. */
async function boot(firmware: string): Promise<void> {
  await swtpm.powerCycle()
  await measure(firmware)
}

function signed(reference: string): SealFields {
  return { signedPolicy: { publicKey, reference, policiesFile } }
}

function configuration(...fields: readonly SealFields[]): NodeConfig {
  const configured = fields.map((field, index) => ({
    ...{ type: 'tpm', name: 'tpm', priority: index + 1, tpm: { socket: swtpm.socketPath }, deadlineMs: 10_000 },
    ...field,
  }))
  return parseNodeConfig(JSON.stringify({ store, seals: configured }), 'test')
}

/** What the operator predicts, on paper, for a boot with this firmware. */
function predicted(firmware: string, reference = 'v1'): PcrPolicy {
  const value = sha256(new Uint8Array(32), Buffer.from(firmware, 'hex'))
  return predictPolicy({
    label: firmware === OLD_FIRMWARE ? 'old' : 'new',
    reference,
    values: [{ index: 7, value }],
    createdAtMs: 0,
  })
}

function approved(firmware: string, reference = 'v1', key: KeyObject = operator.privateKey): SignedPolicy {
  return signPolicy(predicted(firmware, reference), key)
}

const sealOf = (reference = 'v1') => signedSealOf(configuration(signed(reference)), 'tpm')
const labels = async (): Promise<readonly string[]> => (await readPoliciesFile(policiesFile)).map(({ label }) => label)

async function writeStore(keyring: Keyring): Promise<void> {
  await using open = await openKeyringStore(store, { create: true })
  const bytes = encodeKeyring(keyring)
  await open.writeKeyring({ bytes, expectedCurrent: undefined, prove: () => Promise.resolve(), signal })
}

describe('a firmware update under signed PCR policies', () => {
  it('is signed before, opens after, and only then is the old state retired', async () => {
    await addToPoliciesFile(sealOf(), [approved(OLD_FIRMWARE)])
    const seal = seals.only(signed('v1'))
    const keyring = await seals.enrol(seal)
    expect(await opening(seal, keyring)).toBe('opens')

    await addToPoliciesFile(sealOf(), [approved(NEW_FIRMWARE)])
    await boot(NEW_FIRMWARE)
    expect(await opening(seal, keyring)).toBe('opens')
    await boot(OLD_FIRMWARE)
    expect(await opening(seal, keyring)).toBe('opens')

    await boot(NEW_FIRMWARE)
    const retiring = { config: configuration(signed('v1')), sealName: 'tpm', keyring, dropPending: false }
    const { kept, dropped } = await retireFromPoliciesFile(retiring, signal)
    expect([kept, dropped].map(list => list.map(({ label }) => label))).toEqual([['new'], ['old']])
    expect(await opening(seal, keyring)).toBe('opens')

    await boot(OLD_FIRMWARE)
    await expect(openThrough(seal, keyring, signal)).rejects.toMatchObject({
      code: 'TPM_STATE_UNAPPROVED',
      message: expect.stringContaining('from the nearest one, new, it differs in PCR 7;') as string,
    })
  })

  it('that nobody approved leaves the other seals to open', async () => {
    await addToPoliciesFile(sealOf(), [approved(OLD_FIRMWARE)])
    const configured = seals.configured(signed('v1'), { name: 'other' })
    const [bound, other] = configured
    if (bound === undefined || other === undefined) throw new Error('two seals were configured')
    const keyring = await seals.enrol(other, await seals.enrol(bound))
    await boot(NEW_FIRMWARE)
    expect(await opening(bound, keyring)).toBe('TPM_STATE_UNAPPROVED')
    const onFailure = jest.fn()
    using keys = (await unwrapThroughAny(configured, keyring, { signal, onFailure }))?.sealKeys
    expect(keys).toBeDefined()
    expect(onFailure).toHaveBeenCalledTimes(1)
  })

  it('retires nothing before a good boot', async () => {
    await addToPoliciesFile(sealOf(), [approved(OLD_FIRMWARE), approved(NEW_FIRMWARE)])
    const keyring = await seals.enrol(seals.only(signed('v1')))
    await boot('0c'.repeat(32))
    const retiring = { config: configuration(signed('v1')), sealName: 'tpm', keyring, dropPending: true }
    await expect(retireFromPoliciesFile(retiring, signal)).rejects.toMatchObject({
      code: 'POLICIES_NOT_PROVEN',
      message: expect.stringContaining('TPM_STATE_UNAPPROVED') as string,
    })
    expect(await labels()).toEqual(['old', 'new'])
  })

  it('that is still to come is not retired with the old state, unless it was called off', async () => {
    await addToPoliciesFile(sealOf(), [approved(OLD_FIRMWARE), approved(NEW_FIRMWARE)])
    const keyring = await seals.enrol(seals.only(signed('v1')))
    const retiring = { config: configuration(signed('v1')), sealName: 'tpm', keyring }
    expect((await retireFromPoliciesFile({ ...retiring, dropPending: false }, signal)).dropped).toEqual([])
    expect(await labels()).toEqual(['old', 'new'])
    await retireFromPoliciesFile({ ...retiring, dropPending: true }, signal)
    expect(await labels()).toEqual(['old'])
  })
})

describe('policies that are to be added', () => {
  const stranger = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
  const good = approved(OLD_FIRMWARE)
  it.each([
    ['are not signed', [predicted(OLD_FIRMWARE)]],
    ['are signed by another key', [approved(OLD_FIRMWARE, 'v1', stranger)]],
    ['were changed after they were signed', [{ ...good, values: predicted(NEW_FIRMWARE).values }]],
    ['were moved to another reference', [{ ...good, reference: 'v2' }]],
    ['are none', []],
    ['have one that is not signed among others', [good, predicted(NEW_FIRMWARE)]],
  ])('are refused when they %s, and then none is added', async (_what, added) => {
    await expect(addToPoliciesFile(sealOf(), added)).rejects.toMatchObject({ code: 'POLICIES_NOT_APPROVED' })
    expect((await readPoliciesFileIfAny(policiesFile)).bytes).toBeUndefined()
  })

  it('open nothing for another reference, and say so', async () => {
    await addToPoliciesFile(sealOf(), [approved(OLD_FIRMWARE, 'v2')])
    const seal = seals.only(signed('v1'))
    expect(await opening(seal, await seals.enrol(seal))).toBe('TPM_POLICY_OTHER_REFERENCE')
  })

  it('open nothing when somebody put a forged one into the file', async () => {
    await createPoliciesFile(policiesFile, [approved(OLD_FIRMWARE, 'v1', stranger)])
    const seal = seals.only(signed('v1'))
    expect(await opening(seal, await seals.enrol(seal))).toBe('TPM_POLICY_UNSIGNED')
  })
})

describe('a file of policies', () => {
  it('that is missing, damaged, too large or no file is named, and opens again once it is put back', async () => {
    const seal = seals.only(signed('v1'))
    const keyring = await seals.enrol(seal)
    expect(await opening(seal, keyring)).toBe('POLICIES_FILE_UNREADABLE')
    await addToPoliciesFile(sealOf(), [approved(OLD_FIRMWARE)])
    const whole = await readFile(policiesFile)
    await truncate(policiesFile, whole.byteLength - 10)
    expect(await opening(seal, keyring)).toBe('PCR_POLICIES_MALFORMED')
    await writeFile(policiesFile, Buffer.alloc(300_000, ' '))
    expect(await opening(seal, keyring)).toBe('PCR_POLICIES_TOO_LARGE')
    await rm(policiesFile)
    await mkdir(policiesFile)
    expect(await opening(seal, keyring)).toBe('POLICIES_FILE_UNREADABLE')
    await rm(policiesFile, { recursive: true })
    await run('mkfifo', [policiesFile])
    expect(await opening(seal, keyring)).toBe('POLICIES_FILE_UNREADABLE')
    await rm(policiesFile)
    await writeFile(policiesFile, whole)
    expect(await opening(seal, keyring)).toBe('opens')
  })

  it('is written whole, for all to read, and never over what somebody else has just written', async () => {
    await addToPoliciesFile(sealOf(), [approved(OLD_FIRMWARE)])
    const read = await readPoliciesFileIfAny(policiesFile)
    await addToPoliciesFile(sealOf(), [approved(NEW_FIRMWARE)])
    await expect(replacePoliciesFile(read, [])).rejects.toMatchObject({ code: 'POLICIES_FILE_CHANGED' })
    expect(await labels()).toEqual(['old', 'new'])
    await expect(createPoliciesFile(policiesFile, [])).rejects.toMatchObject({ code: 'POLICIES_FILE_EXISTS' })
    expect((await readdir(folder.path)).filter(name => name.startsWith('policies'))).toEqual(['policies.json'])
  })

  it('says so where it cannot be written', async () => {
    const missing = join(folder.path, 'missing', 'policies.json')
    await expect(createPoliciesFile(missing, [])).rejects.toMatchObject({ code: 'POLICIES_FILE_NOT_WRITTEN' })
  })

  it('belongs to a TPM seal that is bound to a signer', () => {
    expect(() => signedSealOf(configuration({}), 'tpm')).toThrow(
      expect.objectContaining({ code: 'POLICIES_NOT_CONFIGURED' }) as Error,
    )
    expect(() => signedSealOf(configuration(signed('v1')), 'tmp')).toThrow(
      expect.objectContaining({ message: expect.stringContaining('its TPM seals are: tpm') as string }) as Error,
    )
  })
})

describe('a test of the policies', () => {
  it('says of each how it stands, and unseals for real', async () => {
    const stranger = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
    await createPoliciesFile(policiesFile, [
      approved(OLD_FIRMWARE),
      approved(NEW_FIRMWARE),
      approved(OLD_FIRMWARE, 'v2'),
      approved(OLD_FIRMWARE, 'v3', stranger),
      predicted(NEW_FIRMWARE, 'v4'),
    ])
    const keyring = await seals.enrol(seals.only(signed('v1')))
    const input = { config: configuration(signed('v1')), sealName: 'tpm', keyring }
    const report = await examinePolicies(input, signal)
    expect(report.policies.map(({ standing, differsIn }) => [standing, differsIn])).toEqual([
      ['fits', []],
      ['differs', [7]],
      ['other-reference', []],
      ['forged', []],
      ['predicted', [7]],
    ])
    expect(report.booted?.label).toBe('old')
    expect(report.failure).toBeUndefined()
    await boot('0c'.repeat(32))
    const after = await examinePolicies(input, signal)
    expect(after.booted).toBeUndefined()
    expect(after.failure).toMatchObject({ code: 'TPM_STATE_UNAPPROVED', kind: 'permanent' })
  })
})

describe('sealing anew under another reference', () => {
  beforeEach(async () => {
    await addToPoliciesFile(sealOf(), [approved(OLD_FIRMWARE)])
    await writeStore(await seals.enrol(seals.only(signed('v1'))))
  })

  const reseal = (...fields: readonly SealFields[]) =>
    resealTpm({ config: configuration(...fields), sealName: 'tpm', context: NO_PROGRAMS }, signal)

  it('takes all approvals of the old reference away from the record, after the new one was proven', async () => {
    const [former] = (await readStoredKeyring(store)).records
    const v2 = seals.only(signed('v2'))
    expect(await opening(v2, await readStoredKeyring(store))).toBe('TPM_POLICY_WEAKER')

    await addToPoliciesFile(sealOf('v2'), [approved(OLD_FIRMWARE, 'v2')])
    const { openedBy, generations } = await reseal(signed('v2'))
    expect({ openedBy, generations }).toEqual({ openedBy: 'tpm', generations: [1] })

    const keyring = await readStoredKeyring(store)
    expect(keyring.records).toHaveLength(1)
    expect(await opening(v2, keyring)).toBe('opens')
    expect(keyring.records[0]?.entryVersion).toBe((former?.entryVersion ?? 0) + 1)
    await rm(policiesFile)
    await createPoliciesFile(policiesFile, [approved(OLD_FIRMWARE, 'v1')])
    expect(await opening(v2, keyring)).toBe('TPM_POLICY_OTHER_REFERENCE')
    // A setting that is taken back does not bring the old approvals back either.
    expect(await opening(seals.only(signed('v1')), keyring)).toBe('TPM_POLICY_WEAKER')
  })

  it('cannot take them from copies of the old record, which the TPM still opens', async () => {
    await addToPoliciesFile(sealOf('v2'), [approved(OLD_FIRMWARE, 'v2')])
    await reseal(signed('v2'))
    const previous = decodeKeyring(await readFile(join(store, 'keyring.previous')))
    expect(await opening(seals.only(signed('v1')), previous)).toBe('opens')
  })

  it('writes nothing when the new record would not open now', async () => {
    const before = await readFile(join(store, 'keyring'))
    await addToPoliciesFile(sealOf('v2'), [approved(NEW_FIRMWARE, 'v2')])
    await expect(reseal(signed('v2'))).rejects.toMatchObject({
      code: 'STORE_PROOF_FAILED',
      message: expect.stringContaining('TPM_') as string,
    })
    expect(await readFile(join(store, 'keyring'))).toEqual(before)
    expect(await opening(seals.only(signed('v1')), await readStoredKeyring(store))).toBe('opens')
  })

  it('takes the keys from another seal when this one does not open', async () => {
    await rm(store, { recursive: true })
    const [bound, other] = seals.configured(signed('v1'), { name: 'other' })
    if (bound === undefined || other === undefined) throw new Error('two seals were configured')
    await writeStore(await seals.enrol(other, await seals.enrol(bound)))
    await boot(NEW_FIRMWARE)
    await addToPoliciesFile(sealOf('v2'), [approved(NEW_FIRMWARE, 'v2')])
    await expect(reseal(signed('v2'))).rejects.toMatchObject({
      code: 'KEYRING_NO_WAY_IN',
      message: expect.stringContaining('tpm: TPM_') as string,
    })
    const { openedBy } = await reseal(signed('v2'), { name: 'other' })
    expect(openedBy).toBe('other')
    expect(await opening(seals.only(signed('v2')), await readStoredKeyring(store))).toBe('opens')
  })

  it('takes a seal over to a list of PCRs, with the file that opens the old record, and back', async () => {
    const list = { pcrs: [7] }
    await expect(reseal(list)).rejects.toMatchObject({ code: 'KEYRING_NO_WAY_IN' })
    await resealTpm({ config: configuration(list), sealName: 'tpm', context: NO_PROGRAMS, policiesFile }, signal)
    expect(await opening(seals.only(list), await readStoredKeyring(store))).toBe('opens')
    await reseal(signed('v1'))
    const keyring = await readStoredKeyring(store)
    expect(keyring.records.map(({ sealedKek }) => conditionsOf(sealedKek).state.kind)).toEqual(['authorized'])
    expect(await opening(seals.only(signed('v1')), keyring)).toBe('opens')
  })

  it('takes a seal over to another signer', async () => {
    const successor = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const pem = successor.publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const fields = { signedPolicy: { publicKey: pem, reference: 'v2', policiesFile } }
    const config = configuration(fields)
    await addToPoliciesFile(signedSealOf(config, 'tpm'), [approved(OLD_FIRMWARE, 'v2', successor.privateKey)])
    await resealTpm({ config, sealName: 'tpm', context: NO_PROGRAMS }, signal)
    const keyring = await readStoredKeyring(store)
    expect(await opening(seals.only(fields), keyring)).toBe('opens')
    expect(await opening(seals.only(signed('v1')), keyring)).toBe('TPM_POLICY_WEAKER')
  })

  it('makes no record where there was none', async () => {
    const [, other] = configuredSeals(configuration(signed('v1'), { name: 'other' }), NO_PROGRAMS)
    expect(other?.name).toBe('other')
    const config = configuration(signed('v1'), { name: 'other' })
    await expect(resealTpm({ config, sealName: 'other', context: NO_PROGRAMS }, signal)).rejects.toMatchObject({
      code: 'KEYRING_NO_RECORD',
    })
  })

  it('says so where the store was never written', async () => {
    await rm(store, { recursive: true })
    await mkdir(store)
    await chmod(store, 0o700)
    await expect(reseal(signed('v1'))).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
  })
})
