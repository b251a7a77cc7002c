import { randomBytes } from 'node:crypto'
import { activateGeneration, addGeneration, type Keyring, matchSealKey } from '@sealwright/keyring'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type ConfiguredSeal } from './configured-seal.ts'
import { type NamedFailure, openThrough, unwrapThrough, unwrapThroughAny } from './node-seals.ts'
import { type TpmSeals, tpmSeals } from './testing/tpm-seals.ts'

const { signal } = new AbortController()

let folder: TemporaryFolder
let swtpm: Swtpm
let seals: TpmSeals
let one: ConfiguredSeal
let two: ConfiguredSeal

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  seals = tpmSeals(swtpm.socketPath)
  const [first, second] = seals.configured({ name: 'one' }, { name: 'two' })
  if (first === undefined || second === undefined) throw new Error('two seals were configured')
  one = first
  two = second
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

/** A generation later, without any new record. */
function rotated(keyring: Keyring): Keyring {
  const sealKeys = matchSealKey({ keyring, sealKey: seals.sealKey })
  const next = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
  const held = sealKeys.with(next.generation.id, next.sealKey)
  return activateGeneration({ keyring: next.keyring, sealKeys: held, id: next.generation.id })
}

/** By which of these seals it opens, and why not by the others. */
async function asked(these: readonly ConfiguredSeal[], keyring: Keyring) {
  const failures: string[] = []
  const onFailure = ({ sealName, code }: NamedFailure) => failures.push(`${sealName}: ${code}`)
  const opened = await unwrapThroughAny(these, keyring, { signal, onFailure })
  opened?.sealKeys.wipe()
  return { by: opened?.sealName, failures }
}

describe('the plain keys through any seal', () => {
  it('come through the first that opens, in the order given', async () => {
    const keyring = rotated(await seals.enrol(two))
    expect(await asked([one, two], keyring)).toEqual({ by: 'two', failures: ['one: KEYRING_NO_RECORD'] })
    expect(await asked([two, one], keyring)).toEqual({ by: 'two', failures: [] })
  })

  it('do not come where none does, and each says why', async () => {
    const keyring = await seals.enrol(seals.only({ name: 'elsewhere' }))
    const failures = ['one: KEYRING_NO_RECORD', 'two: KEYRING_NO_RECORD']
    expect(await asked([one, two], keyring)).toEqual({ by: undefined, failures })
    expect(await asked([], keyring)).toEqual({ by: undefined, failures: [] })
  })

  it('do not come while the TPM is away', async () => {
    const keyring = await seals.enrol(one)
    await swtpm.stop()
    expect(await asked([one], keyring)).toEqual({ by: undefined, failures: ['one: TPM_UNREACHABLE'] })
  })

  it('do not come of a keyring with a MAC that does not fit, whoever opens its record', async () => {
    const keyring = { ...(await seals.enrol(one)), revision: 9 }
    expect(await asked([one], keyring)).toEqual({ by: undefined, failures: ['one: KEYRING_AUTH_FAILED'] })
  })

  it('are not waited for after the signal', async () => {
    const keyring = await seals.enrol(one)
    const options = { signal: AbortSignal.abort(new Error('enough')), onFailure: () => undefined }
    await expect(unwrapThroughAny([one], keyring, options)).rejects.toThrow('enough')
  })
})

describe('the plain keys through a seal', () => {
  it('are those of all generations that its record leads to, and open what the seal itself opens', async () => {
    const keyring = rotated(rotated(await seals.enrol(one)))
    using sealKeys = await unwrapThrough(one, keyring, signal)
    expect(keyring.generations.map(({ id }) => sealKeys.has(id))).toEqual([true, true, true])
    expect(sealKeys.isOriginProven).toBe(true)
    using opened = await openThrough(one, keyring, signal)
    expect(opened.keyIds).toHaveLength(3)
  })

  it('are not given by a seal without a record', async () => {
    const keyring = await seals.enrol(one)
    await expect(unwrapThrough(two, keyring, signal)).rejects.toMatchObject({ code: 'KEYRING_NO_RECORD' })
  })
})
