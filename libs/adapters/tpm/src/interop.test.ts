import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { STORAGE_KEY_ARGUMENTS, type Tpm2Tools, tpm2Tools } from './fixtures/tpm2-tools.ts'
import { type TpmAccess } from './operation.ts'
import { sealKek } from './seal.ts'
import { decodeSealedKek, encodeSealedKek, tss2KeyOf } from './sealed-kek.ts'
import { readTpmIdentity } from './status.ts'
import { unsealKek } from './unseal.ts'

let folder: TemporaryFolder
let swtpm: Swtpm
let tools: Tpm2Tools
let access: TpmAccess
const keyBytes = Uint8Array.from(randomBytes(32))
const kek = new Secret(Uint8Array.from(keyBytes))

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  tools = tpm2Tools(swtpm.socketPath, folder.path)
  access = { transport: { kind: 'unix', path: swtpm.socketPath }, timeoutMs: 10_000, randomBytes }
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

/** Loads our key file's pair with tpm2-tools and unseals it. */
async function unsealWithTools(container: Uint8Array, ...auth: readonly string[]): Promise<Uint8Array> {
  const key = tss2KeyOf(decodeSealedKek(container))
  await writeFile(folder.join('key.pub'), key.publicArea)
  await writeFile(folder.join('key.priv'), key.privateArea)
  await tools('createprimary', ...STORAGE_KEY_ARGUMENTS, '-c', 'srk.ctx')
  await tools('flushcontext', '-t')
  await tools('load', '-C', 'srk.ctx', '-u', 'key.pub', '-r', 'key.priv', '-c', 'key.ctx')
  await tools('flushcontext', '-t')
  await tools('unseal', '-c', 'key.ctx', '-o', 'key.out', ...auth)
  await tools('flushcontext', '-t')
  return new Uint8Array(await readFile(folder.join('key.out')))
}

describe('tpm2-tools', () => {
  it('derive the storage key that we derive', async () => {
    await tools('createprimary', ...STORAGE_KEY_ARGUMENTS, '-c', 'srk.ctx')
    await tools('flushcontext', '-t')
    await tools('readpublic', '-c', 'srk.ctx', '-n', 'srk.name')
    await tools('flushcontext', '-t')
    const { storageKeyName } = await readTpmIdentity(access)
    expect(storageKeyName).toEqual(new Uint8Array(await readFile(folder.join('srk.name'))))
  })

  it('open what we sealed', async () => {
    const container = await sealKek(access, await readTpmIdentity(access), { policy: { kind: 'none' } }, kek)
    expect(await unsealWithTools(container)).toEqual(keyBytes)
  })

  it('open what we sealed to PCRs', async () => {
    const policy = { kind: 'pcr', pcrs: [0, 7] } as const
    const container = await sealKek(access, await readTpmIdentity(access), { policy }, kek)
    expect(await unsealWithTools(container, '-p', 'pcr:sha256:0,7')).toEqual(keyBytes)
  })

  it('seal what we open', async () => {
    await writeFile(folder.join('plain'), keyBytes)
    await tools('createprimary', ...STORAGE_KEY_ARGUMENTS, '-c', 'srk.ctx')
    await tools('flushcontext', '-t')
    const attributes = 'fixedtpm|fixedparent|userwithauth|noda'
    await tools('create', '-C', 'srk.ctx', '-i', 'plain', '-a', attributes, '-u', 'key.pub', '-r', 'key.priv')
    await tools('flushcontext', '-t')

    const { storageKeyName, endorsementKeyName } = await readTpmIdentity(access)
    const withoutSize = async (name: string) => new Uint8Array(await readFile(folder.join(name))).subarray(2)
    const object = {
      method: 'sealed',
      publicArea: await withoutSize('key.pub'),
      privateArea: await withoutSize('key.priv'),
    } as const
    const policy = { state: { kind: 'none' }, hasPin: false } as const
    const container = encodeSealedKek({ storageKeyName, endorsementKeyName, pcrValues: [], policy, object })
    expect((await unsealKek(access, container)).equals(kek)).toBe(true)
  })
})
