import { randomBytes } from 'node:crypto'
import {
  createKeyring,
  decodeKeyring,
  findSeal,
  openKeyring,
  type OpenKeyring,
  type SealMember,
} from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { SealServiceRefusal, type SealBlob } from '@sealwright/seal-plugin'
import { type SealServiceDependencies, sealService } from './seal-service.ts'

const NO_AAD = new Uint8Array()
const signal = new AbortController().signal

/** A real keyring behind a member that keeps its KEK in memory. */
async function openedKeyring(): Promise<OpenKeyring> {
  const sealKey = new Secret(Uint8Array.from(randomBytes(32)))
  let kept: Secret | undefined
  const member: SealMember = {
    sealType: 'tpm',
    method: 'tpm-sealed',
    memberId: Uint8Array.from(randomBytes(16)),
    sealKek: kek => {
      kept = kek.clone()
      return Promise.resolve(Uint8Array.of(1))
    },
    unsealKek: () => Promise.resolve((kept ?? sealKey).clone()),
  }
  const record = { sealName: 'tpm', member, method: 'tpm-sealed', label: 'node-1' } as const
  const keyring = await createKeyring({ ...record, sealKey, now: Date.now, randomBytes, signal })
  return await openKeyring({ keyring, sealId: findSeal(keyring, 'tpm')?.sealId ?? NO_AAD, member, signal })
}

function serviceFor(keyring: OpenKeyring | undefined, overrides: Partial<SealServiceDependencies> = {}) {
  return sealService({
    sealType: 'sealwright',
    heldKeyring: () => keyring,
    waitForKeyring: () => Promise.resolve(),
    failures: () => [],
    absorb: () => Promise.resolve(),
    admit: () => Promise.resolve(),
    version: '1.2.3',
    randomBytes,
    ...overrides,
  })
}

/** What a call was refused with. */
async function refusalOf(call: () => unknown): Promise<SealServiceRefusal> {
  try {
    await call()
  } catch (error) {
    if (error instanceof SealServiceRefusal) return error
    throw error
  }
  throw new Error('nothing was refused')
}

let keyring: OpenKeyring

beforeAll(async () => {
  keyring = await openedKeyring()
})

describe('the seal service', () => {
  it('decrypts what it encrypted, and names the same key in the blob and by itself', async () => {
    const service = serviceFor(keyring)
    const blob = await service.encrypt(Buffer.from('root key of some length'.padEnd(48)), NO_AAD)
    expect(blob.keyId).toBe(service.keyId())
    expect(
      Buffer.from(await service.decrypt(blob, NO_AAD, signal))
        .toString()
        .trim(),
    ).toBe('root key of some length')
    expect(service.type).toBe('sealwright')
  })

  it('answers SetConfig before any seal is open, and takes the options that the server keeps for itself', () => {
    const options = new Map([
      ['health_check_interval', '10m'],
      ['disabled', 'false'],
    ])
    expect(serviceFor(undefined).configure(options).metadata).toEqual({
      agent_version: '1.2.3',
      key_id: 'not open yet',
    })
    expect(serviceFor(keyring).configure(new Map()).metadata.key_id).toBe(keyring.keyId)
  })

  it('refuses an unknown option by its name, never by its value', async () => {
    const refusal = await refusalOf(() => serviceFor(keyring).configure(new Map([['token', 'sesame']])))
    expect(refusal.code).toBe('SEAL_OPTION_UNKNOWN')
    expect(refusal.message).toContain('token')
    expect(refusal.message).not.toContain('sesame')
  })

  it.each(['encrypt', 'keyId'] as const)(
    'refuses %s while no seal is open, in words that anybody may read',
    async call => {
      const service = serviceFor(undefined)
      const refusal = await refusalOf(() =>
        call === 'keyId' ? service.keyId() : service.encrypt(Uint8Array.of(1), NO_AAD),
      )
      expect(refusal).toMatchObject({ code: 'SEAL_NOT_OPEN', publicMessage: 'the seal is not open yet' })
    },
  )

  it('waits in Encrypt and Decrypt for a seal that is just opening', async () => {
    const blob = await serviceFor(keyring).encrypt(Buffer.from('late'), NO_AAD)
    expect(await lateService().encrypt(Buffer.from('late'), NO_AAD)).toMatchObject({
      keyId: expect.stringContaining(keyring.keyId) as string,
    })
    expect(Buffer.from(await lateService().decrypt(blob, NO_AAD, signal)).toString()).toBe('late')
  })

  it('lets an initialisation of OpenBao wait for a seal, and refuses it in public words when none comes', async () => {
    await expect(lateService().prepareInitialise()).resolves.toBeUndefined()
    const refusal = await refusalOf(() => serviceFor(undefined).prepareInitialise())
    expect(refusal).toMatchObject({ code: 'SEAL_NOT_OPEN', publicMessage: 'the seal is not open yet' })
  })

  it('keeps only a few calls of Encrypt waiting: anybody can make them', async () => {
    const opening = Promise.withResolvers<undefined>()
    const service = serviceFor(undefined, { waitForKeyring: () => opening.promise })
    const settled: string[] = []
    const calls = Array.from({ length: 20 }, () =>
      refusalOf(() => service.encrypt(Uint8Array.of(1), NO_AAD)).then(({ code }) => settled.push(code)),
    )
    await new Promise(setImmediate)
    expect(settled).toEqual(Array<string>(12).fill('SEAL_NOT_OPEN'))
    opening.resolve(undefined)
    await Promise.all(calls)
    expect(settled).toHaveLength(20)
  })

  it('says in Decrypt which seals failed by which code, and nothing of devices and paths', async () => {
    const failure = { code: 'TPM_UNREACHABLE', message: 'no TPM answers at /dev/tpmrm0', kind: 'transient' } as const
    const failures = () => [{ ...failure, sealName: 'tpm' }]
    const refusal = await refusalOf(() => serviceFor(undefined, { failures }).decrypt(blobOf('x'), NO_AAD, signal))
    expect(refusal.code).toBe('SEAL_NOT_OPEN')
    expect(refusal.message).toContain('(tpm: TPM_UNREACHABLE)')
    expect(refusal.message).not.toContain('/dev')
    expect(refusal.publicMessage).toBeUndefined()
    const early = await refusalOf(() => serviceFor(undefined).decrypt(blobOf('x'), NO_AAD, signal))
    expect(early.message).toContain('still asking its seals')
  })

  it('refuses a blob that is none, was changed, belongs to other data or to another cluster, each by its code', async () => {
    const service = serviceFor(keyring)
    const blob = await service.encrypt(Buffer.from('root key of some length'.padEnd(48)), NO_AAD)
    const { ciphertext } = blob
    const changed = Uint8Array.from(ciphertext)
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
    const elsewhere = await serviceFor(await openedKeyring()).encrypt(
      Buffer.from('root key of some length'.padEnd(48)),
      NO_AAD,
    )
    const codes = [
      await refusalOf(() => service.decrypt(blobOf('no envelope'), NO_AAD, signal)),
      await refusalOf(() => service.decrypt({ ...blob, ciphertext: changed }, NO_AAD, signal)),
      await refusalOf(() => service.decrypt(blob, Uint8Array.of(1), signal)),
      await refusalOf(() => service.decrypt(elsewhere, NO_AAD, signal)),
      // Storage can be written by others: a false key id would keep OpenBao from encrypting again after a rotation.
      await refusalOf(() => service.decrypt({ ...blob, keyId: 'another' }, NO_AAD, signal)),
      await refusalOf(() => service.decrypt({ ...blob, iv: Uint8Array.of(1) }, NO_AAD, signal)),
    ].map(({ code }) => code)
    expect(codes).toEqual([
      'ENVELOPE_MALFORMED',
      'ENVELOPE_AUTH_FAILED',
      'ENVELOPE_AUTH_FAILED',
      'KEYRING_KEY_UNKNOWN',
      'SEAL_BLOB_CHANGED',
      'SEAL_BLOB_CHANGED',
    ])
  })

  it('sends its keyring along with each blob, and learns from the one that comes with a blob before it decrypts', async () => {
    const absorbed: Uint8Array[] = []
    let held: OpenKeyring | undefined
    const blob = await serviceFor(keyring).encrypt(Buffer.from('root key of some length'.padEnd(48)), NO_AAD)
    expect(decodeKeyring(blob.wrappedKey)).toEqual(keyring.keyring)
    const service = serviceFor(undefined, {
      heldKeyring: () => held,
      absorb: bytes => {
        absorbed.push(bytes)
        held = keyring
        return Promise.resolve()
      },
    })
    expect(
      Buffer.from(await service.decrypt(blob, NO_AAD, signal))
        .toString()
        .trim(),
    ).toBe('root key of some length')
    expect(absorbed).toEqual([blob.wrappedKey])
  })

  it('hands out no plaintext that is not admitted, whatever its blob', async () => {
    const asked: number[] = []
    const refusal = new SealServiceRefusal('SEAL_NOT_INITIALISED', 'this OpenBao is not initialised')
    const service = serviceFor(keyring, {
      admit: plaintextBytes => {
        asked.push(plaintextBytes)
        return Promise.reject(refusal)
      },
    })
    const blob = await service.encrypt(Buffer.alloc(48, 1), NO_AAD)
    expect(await refusalOf(() => service.decrypt(blob, NO_AAD, signal))).toBe(refusal)
    expect(asked).toEqual([48])
  })
})

/** A service whose keyring comes while a call waits for it. */
function lateService() {
  let held: OpenKeyring | undefined
  return serviceFor(undefined, {
    heldKeyring: () => held,
    waitForKeyring: () => {
      held = keyring
      return Promise.resolve()
    },
  })
}

function blobOf(ciphertext: string): SealBlob {
  return {
    ciphertext: Buffer.from(ciphertext),
    iv: NO_AAD,
    keyId: 'k',
    wrappedKey: NO_AAD,
    mechanism: 0n,
  }
}
