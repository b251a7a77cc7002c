import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { addRecord, decodeKeyring, type Keyring, MAX_SEALED_KEK_BYTES } from '@sealwright/keyring'
import { type KeyringBackendConfig } from '@sealwright/kms-config'
import { proveThrough, unwrapThrough } from '@sealwright/node-seals'
import { Secret } from '@sealwright/secret'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { restoreVersions } from './keyring-restore.ts'
import { retireVersions } from './keyring-retire.ts'
import { rotateKeyring } from './keyring-rotate.ts'
import { readStored } from './keyring-store.ts'
import { changeKeyring } from './keyring-unlock.ts'
import {
  backendConfig,
  CLUSTER,
  codeOf,
  initialised,
  runningBackend,
  signal,
  storedVersions,
  tpmFields,
  withNode,
} from './testing/keyring-rig.ts'

/** Records of 8 KiB for so many fill half of what all changes but a break may fill. */
const MANY_MEMBERS = 40

let folder: TemporaryFolder
let swtpm: Swtpm
let config: KeyringBackendConfig

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  config = backendConfig(folder.join('store'), [tpmFields(swtpm.socketPath)])
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

const rotated = () => withNode(config, node => rotateKeyring(node, { handOutMs: 0, knownHere: [] }, signal))

/** Retires a version and all before it. @returns the copy from before. */
async function retired(version: number): Promise<Keyring> {
  const options = { kubernetesClusterId: CLUSTER, activationDelayMs: 0, encryptingHere: undefined }
  const proof = { kind: 'word-of-operator' } as const
  const nowMs = Date.now() + 1_000
  const { keptAs } = await withNode(config, node => retireVersions(node, { version, proof, nowMs, ...options }, signal))
  return decodeKeyring(await readFile(keptAs))
}

const restored = (former: Keyring) => withNode(config, node => restoreVersions(node, former, signal))

/** With records of the current version for many members: once there is room for that, and not twice. */
const grown = () =>
  withNode(config, node =>
    changeKeyring(
      node,
      async unlocked => {
        let { keyring } = unlocked
        for (let number = 1; number <= MANY_MEMBERS; number += 1) {
          const sealKek = () => Promise.resolve(new Uint8Array(randomBytes(MAX_SEALED_KEK_BYTES)))
          const member = { sealType: 'tpm', memberId: new Uint8Array(16).fill(number), sealKek } as const
          const record = { sealName: 'tpm', member, method: 'tpm-sealed', label: 'another-node' } as const
          keyring = await addRecord({ ...unlocked, ...record, keyring })
        }
        return { keyring, sealKeys: unlocked.sealKeys }
      },
      signal,
    ),
  )

/** The same keyring, authentic, with a record of this node's TPM for a version that does not open. */
async function spoilt(former: Keyring, version: number): Promise<Keyring> {
  return await withNode(config, async ({ seals: [seal] }) => {
    if (seal === undefined) throw new Error('no seal')
    using sealKeys = await unwrapThrough(seal, former, signal)
    const [record] = former.records
    const generationId = former.generations.find(({ number }) => number === version)?.id
    if (record === undefined || generationId === undefined) throw new Error('no record')
    const sealed = Uint8Array.from(record.sealedKek, (byte, at) =>
      at === record.sealedKek.length - 1 ? byte ^ 1 : byte,
    )
    const member = { sealType: 'tpm', memberId: record.memberId, sealKek: () => Promise.resolve(sealed) } as const
    const made = { sealName: 'tpm', member, method: 'tpm-sealed', label: 'node', generationId } as const
    return await addRecord({ ...made, keyring: former, sealKeys, now: Date.now, randomBytes, signal })
  })
}

/** Of which versions the store has records. */
async function recordedVersions(): Promise<readonly number[]> {
  const { records, generations } = (await readStored(config.store)).keyring
  const numbers = records.map(
    ({ generationId }) => generations.findIndex(({ id }) => Buffer.compare(id, generationId) === 0) + 1,
  )
  // They are listed by ids, which are random.
  return numbers.sort((one, other) => one - other)
}

/** Runs it, and tells how many secrets were looked at or made meanwhile, and how many of them are not wiped. */
async function secretsOf(run: () => Promise<unknown>): Promise<{ readonly seen: number; readonly left: number }> {
  const reveal = jest.spyOn(Secret.prototype, 'reveal')
  const clone = jest.spyOn(Secret.prototype, 'clone')
  const seen = new Set<Secret>()
  try {
    await run()
  } finally {
    for (const context of reveal.mock.contexts) if (context instanceof Secret) seen.add(context)
    for (const { value } of clone.mock.results) if (value instanceof Secret) seen.add(value)
    reveal.mockRestore()
    clone.mockRestore()
  }
  return { seen: seen.size, left: [...seen].filter(each => !isWiped(each)).length }
}

function isWiped(secret: Secret): boolean {
  try {
    return secret.reveal(() => false)
  } catch (error) {
    if (error instanceof TypeError) return true
    throw error
  }
}

describe('a version that is restored', () => {
  it('decrypts again, also where a later one stays retired', async () => {
    await initialised(config)
    const before = runningBackend(config)
    await before.look()
    const lost = await before.encryptText(1, 'of version 1')
    await before[Symbol.asyncDispose]()
    await rotated()
    const first = await retired(1)
    await rotated()
    await rotated()
    await retired(3)
    expect((await restored(first)).restored).toEqual([1, 2])
    expect(await storedVersions(config.store)).toEqual([
      [1, 'active'],
      [2, 'active'],
      [3, 'retired'],
      [4, 'active'],
    ])
    await using later = runningBackend(config)
    await later.look()
    expect(await later.decryptText(1, lost)).toBe('of version 1')
  })

  it('comes back though a record of this node that it brings does not open: that one is made anew', async () => {
    await initialised(config)
    await rotated()
    await restored(await retired(1))
    await rotated()
    const former = await retired(2)
    expect([former.records.length, await recordedVersions()]).toEqual([2, [3]])
    const before = await readStored(config.store)

    const back = await restored(await spoilt(former, 2))
    expect(back).toMatchObject({
      ...{ restored: [1, 2], renewed: ['tpm'] },
      remade: [{ sealName: 'tpm', version: 2, code: expect.stringMatching(/^TPM_|^KEYRING_/) as unknown }],
    })
    // Whatever opened before does still.
    expect(await recordedVersions()).toEqual([1, 2, 3])
    expect(back.keyring.records).toEqual(expect.arrayContaining(before.keyring.records as unknown[]))
    await withNode(config, async ({ seals: [seal] }) => {
      if (seal === undefined) throw new Error('no seal')
      // Without a former one each record has to open.
      await proveThrough(seal, { keyring: (await readStored(config.store)).keyring }, signal)
    })
  })

  it('does not come back from a keyring that no seal here opens, and it is said which of the two that is', async () => {
    await initialised(config)
    await rotated()
    const former = await retired(1)
    const { bytes } = await readStored(config.store)
    await expect(restored(await spoilt(former, 1))).rejects.toMatchObject({
      code: 'KMS_KEYRING_SEALED',
      message: expect.stringMatching(
        /the keyring that versions are to come back from.*tpm: .*take another copy/,
      ) as unknown,
    })
    expect((await readStored(config.store)).bytes).toEqual(bytes)
  })

  it('leaves no key behind that was looked at or copied for it, whether it comes back or not', async () => {
    await initialised(config)
    await rotated()
    const former = await retired(1)
    const { bytes } = await readStored(config.store)
    const secrets = await secretsOf(() => restored(former))
    expect(secrets.seen).toBeGreaterThan(5)
    expect(secrets.left).toBe(0)
    expect((await readStored(config.store)).bytes).not.toEqual(bytes)
    const again = await secretsOf(async () => {
      expect(await codeOf(() => restored(former))).toBe('KMS_KEYRING_VERSION')
    })
    expect(again.seen).toBeGreaterThan(0)
    expect(again.left).toBe(0)
  })

  it('leaves no key behind where the result is refused either, and the store as it was', async () => {
    await initialised(config)
    await grown()
    await rotated()
    const former = await retired(1)
    await grown()
    const { bytes } = await readStored(config.store)
    const secrets = await secretsOf(async () => {
      expect(await codeOf(() => restored(former))).toBe('KEYRING_NO_ROOM')
    })
    expect(secrets.seen).toBeGreaterThan(5)
    expect(secrets.left).toBe(0)
    expect((await readStored(config.store)).bytes).toEqual(bytes)
  })
})
