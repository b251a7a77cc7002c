import { createCipheriv, randomBytes } from 'node:crypto'
import {
  activateGeneration,
  addGeneration,
  createKeyring,
  type Keyring,
  matchSealKey,
  OpenKeyring,
  type SealMember,
} from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { type SealBlob, SealServiceRefusal } from '@sealwright/seal-plugin'
import { joinGuard } from './join-guard.ts'
import { type SealServiceDependencies, sealService } from './seal-service.ts'

const NO_AAD = new Uint8Array()
const KEY_ID = 'static-1'
const { signal } = new AbortController()
const keyBytes = randomBytes(32)
const sealKey = (): Secret => new Secret(Uint8Array.from(keyBytes))

const member: SealMember = {
  sealType: 'tpm',
  method: 'tpm-sealed',
  memberId: Uint8Array.from(randomBytes(16)),
  sealKek: () => Promise.resolve(Uint8Array.of(1)),
  unsealKek: () => Promise.reject(new Error('nobody asks it here')),
}

async function begun(): Promise<Keyring> {
  const record = { sealName: 'tpm', member, method: 'tpm-sealed', label: 'node-1' } as const
  return await createKeyring({ ...record, sealKey: sealKey(), keyId: KEY_ID, now: Date.now, randomBytes, signal })
}

function opened(keyring: Keyring, opensStaticBlobs: boolean): OpenKeyring {
  return OpenKeyring.from(keyring, matchSealKey({ keyring, sealKey: sealKey() }), { opensStaticBlobs })
}

function rotated(keyring: Keyring): Keyring {
  using sealKeys = matchSealKey({ keyring, sealKey: sealKey() })
  const { generation, sealKey: next, ...added } = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
  return activateGeneration({ ...added, sealKeys: sealKeys.with(generation.id, next), id: generation.id })
}

function serviceOf(sealType: 'sealwright' | 'static', keyring: Keyring, change: Partial<SealServiceDependencies> = {}) {
  const held = opened(keyring, sealType === 'static')
  return sealService({
    sealType,
    heldKeyring: () => held,
    waitForKeyring: () => Promise.resolve(),
    failures: () => [],
    absorb: () => Promise.resolve(),
    admit: () => Promise.resolve(),
    version: '1.2.3',
    randomBytes,
    ...change,
  })
}

/** As OpenBao's own static seal does it. */
function staticBlob(plaintext: Uint8Array, keyId = KEY_ID): SealBlob {
  const iv = Uint8Array.from(randomBytes(12))
  const cipher = createCipheriv('aes-256-gcm', keyBytes, iv)
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  return { ciphertext, iv, keyId, wrappedKey: NO_AAD, mechanism: 0n }
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'none'
  } catch (error) {
    if (error instanceof SealServiceRefusal) return error.code
    throw error
  }
}

let keyring: Keyring

beforeAll(async () => {
  keyring = await begun()
})

describe('a seal service in the place of a static seal', () => {
  it('answers the type of the static seal, and its key id', async () => {
    const service = serviceOf('static', keyring)
    expect(service.type).toBe('static')
    expect(service.keyId()).toBe(KEY_ID)
    expect((await service.encrypt(Buffer.from('root key'), NO_AAD)).keyId).toBe(KEY_ID)
  })

  it('decrypts what the static seal left and what it encrypts itself, which is never in the form of the static seal', async () => {
    const service = serviceOf('static', keyring)
    expect(Buffer.from(await service.decrypt(staticBlob(Buffer.from('old')), NO_AAD, signal)).toString()).toBe('old')
    const blob = await service.encrypt(Buffer.from('new'), NO_AAD)
    expect(blob.iv).toHaveLength(0)
    expect(Buffer.from(await service.decrypt(blob, NO_AAD, signal)).toString()).toBe('new')
  })

  it('goes on decrypting what the static seal left after a rotation, and then tells another key id', async () => {
    const service = serviceOf('static', rotated(keyring))
    expect(Buffer.from(await service.decrypt(staticBlob(Buffer.from('old')), NO_AAD, signal)).toString()).toBe('old')
    expect(service.keyId().startsWith(KEY_ID)).toBe(false)
  })

  it('refuses a changed blob, one of another key id, and one of its own with a nonce beside it, each by its code', async () => {
    const service = serviceOf('static', keyring)
    const blob = staticBlob(Buffer.from('root key'))
    const own = await service.encrypt(Buffer.from('root key'), NO_AAD)
    const changed = { ...blob, ciphertext: blob.ciphertext.map((byte, index) => (index === 0 ? byte ^ 1 : byte)) }
    const codes = [
      changed,
      { ...blob, keyId: 'static-2' },
      { ...blob, iv: blob.iv.subarray(1) },
      { ...own, iv: blob.iv },
    ].map(each => codeOf(service.decrypt(each, NO_AAD, signal)))
    expect(await Promise.all(codes)).toEqual([
      'KEYRING_STATIC_BLOB_AUTH_FAILED',
      'KEYRING_KEY_UNKNOWN',
      'KEYRING_STATIC_BLOB_MALFORMED',
      'KEYRING_STATIC_BLOB_AUTH_FAILED',
    ])
  })

  it('hands a plaintext of the static seal to an OpenBao without data only if it has the length of a challenge', async () => {
    const guard = joinGuard({
      ask: () => Promise.resolve({ kind: 'uninitialised' }),
      steadyNow: () => performance.now(),
      signal: AbortSignal.abort(),
    })
    const service = serviceOf('static', keyring, { admit: (bytes, of) => guard.admit(bytes, of) })
    expect(await codeOf(service.decrypt(staticBlob(randomBytes(48)), NO_AAD, signal))).toBe('SEAL_NOT_INITIALISED')
    expect(await codeOf(service.decrypt(staticBlob(randomBytes(24)), NO_AAD, signal))).toBe('none')
  })
})

describe('a seal service of the usual type', () => {
  it('refuses a blob of the static seal by its code, even with the right key', async () => {
    const service = serviceOf('sealwright', keyring)
    expect(await codeOf(service.decrypt(staticBlob(Buffer.from('old')), NO_AAD, signal))).toBe('SEAL_STATIC_BLOB')
  })
})
