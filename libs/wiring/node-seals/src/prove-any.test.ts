import { randomBytes } from 'node:crypto'
import { activateGeneration, addGeneration, type Keyring, matchSealKey } from '@sealwright/keyring'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type ConfiguredSeal } from './configured-seal.ts'
import { openThrough, proveThroughAny, unwrapThrough } from './node-seals.ts'
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

describe('the proof that some seal of a node opens a keyring', () => {
  it('is given by whichever does, although others have no record', async () => {
    const keyring = rotated(await seals.enrol(two))
    await expect(proveThroughAny([one, two], keyring, signal)).resolves.toBeUndefined()
  })

  it('names every seal and its code where none does', async () => {
    const keyring = await seals.enrol(seals.only({ name: 'elsewhere' }))
    const proof = proveThroughAny([one, two], keyring, signal)
    await expect(proof).rejects.toMatchObject({
      code: 'KEYRING_NO_WAY_IN',
      message: expect.stringContaining('(one: KEYRING_NO_RECORD, two: KEYRING_NO_RECORD)') as unknown,
    })
  })

  it('fails while the TPM is away', async () => {
    const keyring = await seals.enrol(one)
    await swtpm.stop()
    await expect(proveThroughAny([one], keyring, signal)).rejects.toMatchObject({
      message: expect.stringContaining('one: TPM_UNREACHABLE') as unknown,
    })
  })

  it('is given by no seal at all where a node has none', async () => {
    const keyring = await seals.enrol(one)
    await expect(proveThroughAny([], keyring, signal)).rejects.toMatchObject({ code: 'KEYRING_NO_WAY_IN' })
  })

  it('fails for a keyring with a MAC that does not fit, whoever opens its record', async () => {
    const keyring = { ...(await seals.enrol(one)), revision: 9 }
    await expect(proveThroughAny([one], keyring, signal)).rejects.toMatchObject({
      message: expect.stringContaining('one: KEYRING_AUTH_FAILED') as unknown,
    })
  })

  it('ends with its signal', async () => {
    const keyring = await seals.enrol(one)
    const stopped = AbortSignal.abort(new Error('enough'))
    await expect(proveThroughAny([one], keyring, stopped)).rejects.toThrow('enough')
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
