import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { Secret } from '@sealwright/secret'
import { type KeyObservation, type KmsBackend, type KmsProvider } from '../backend.ts'
import { KmsError } from '../errors.ts'
import { LINEAGE_BYTES } from '../key-id.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

interface MemoryVersion {
  readonly version: number
  readonly key: Uint8Array
  readonly lineage: Uint8Array
  readonly createdAtMs: number
}

/** All that a {@link MemoryBackend} keeps at one moment. */
export interface MemoryKey {
  readonly versions: readonly MemoryVersion[]
  readonly oldestDecryptable: number
  readonly oldestEncryptable: number
}

/** A backend whose key lies in memory, and to which can be done what operators do to a key, and what should not happen to it. */
export interface MemoryBackend extends KmsBackend {
  /** How often each function was called, failures too. */
  readonly calls: { observe: number; encrypt: number; decrypt: number }
  /** Makes a new version; returns its number. */
  readonly rotate: () => number
  /** Versions below are no more listed, and decrypt nothing; both come back when it is lowered. */
  readonly setOldestDecryptable: (version: number) => void
  readonly setOldestEncryptable: (version: number) => void
  /** Deletes the key and makes another one, of one version, at the same moment. */
  readonly replaceKey: () => void
  /** The same, and nothing but what it decrypts tells the two apart: as with transit within a second. */
  readonly replaceKeyUnseen: () => void
  /** Deletes the key, until another one is restored. */
  readonly deleteKey: () => void
  /** The key as it is now, to go back to. */
  readonly backUp: () => MemoryKey
  readonly restore: (backup: MemoryKey) => void
  /** Makes every call fail so, until it is called with null. */
  readonly failWith: (error: Error | null) => void
}

/** A key of one version. */
export function memoryBackend({ provider, nowMs }: { provider: KmsProvider; nowMs: () => number }): MemoryBackend {
  const calls = { observe: 0, encrypt: 0, decrypt: 0 }
  let key = newKey(nowMs())
  let failure: Error | null = null

  const answer = <T>(make: () => T): Promise<T> =>
    new Promise(resolve => {
      if (failure !== null) throw failure
      resolve(make())
    })
  const find = (version: number): MemoryVersion => {
    const found = key.versions.find(each => each.version === version)
    if (found === undefined) throw new KmsError('KMS_KEY_GONE', 'the key has no such version')
    return found
  }

  return {
    provider,
    calls,
    observe: () => {
      calls.observe += 1
      return answer(() => {
        if (key.versions.length === 0) throw new KmsError('KMS_KEY_GONE', 'there is no key')
        return observationOf(key)
      })
    },
    encrypt: ({ version, plaintext, associatedData }) => {
      calls.encrypt += 1
      return answer(() => {
        if (version < key.oldestEncryptable) throw new KmsError('KMS_KEY_GONE', 'this version encrypts no more')
        return seal(find(version).key, plaintext, associatedData)
      })
    },
    decrypt: ({ version, wrapped, associatedData }) => {
      calls.decrypt += 1
      return answer(() => {
        if (version < key.oldestDecryptable) throw new KmsError('KMS_VERSION_RETIRED', 'this version decrypts no more')
        return open(find(version).key, wrapped, associatedData)
      })
    },
    rotate: () => {
      const version = (key.versions.at(-1)?.version ?? 0) + 1
      key = { ...key, versions: [...key.versions, newVersion(version, nowMs())] }
      return version
    },
    setOldestDecryptable: version => {
      key = { ...key, oldestDecryptable: version }
    },
    setOldestEncryptable: version => {
      key = { ...key, oldestEncryptable: version }
    },
    replaceKey: () => {
      key = newKey(nowMs())
    },
    replaceKeyUnseen: () => {
      const versions = key.versions.map(version => ({ ...version, key: randomBytes(KEY_BYTES) }))
      key = { ...key, versions }
    },
    deleteKey: () => {
      key = { versions: [], oldestDecryptable: 1, oldestEncryptable: 1 }
    },
    backUp: () => key,
    restore: backup => {
      key = backup
    },
    failWith: error => {
      failure = error
    },
    [Symbol.asyncDispose]: () => {
      key.versions.forEach(version => version.key.fill(0))
      return Promise.resolve()
    },
  }
}

/** What a backend with this key says of it. */
export function observationOf({ versions, oldestDecryptable, oldestEncryptable }: MemoryKey): KeyObservation {
  return {
    versions: versions
      .filter(({ version }) => version >= oldestDecryptable)
      .map(({ version, lineage, createdAtMs }) => ({ version, lineage, createdAtMs })),
    oldestDecryptable,
    oldestEncryptable,
  }
}

function newKey(nowMs: number): MemoryKey {
  return { versions: [newVersion(1, nowMs)], oldestDecryptable: 1, oldestEncryptable: 1 }
}

function newVersion(version: number, createdAtMs: number): MemoryVersion {
  return { version, key: randomBytes(KEY_BYTES), lineage: randomBytes(LINEAGE_BYTES), createdAtMs }
}

function seal(key: Uint8Array, plaintext: Secret, associatedData: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(associatedData)
  const body = plaintext.reveal(bytes => cipher.update(bytes))
  return Buffer.concat([nonce, body, cipher.final(), cipher.getAuthTag()])
}

function open(key: Uint8Array, wrapped: Uint8Array, associatedData: Uint8Array): Secret {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, wrapped.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    })
    decipher.setAAD(associatedData).setAuthTag(wrapped.subarray(-TAG_BYTES))
    const body = decipher.update(wrapped.subarray(NONCE_BYTES, -TAG_BYTES))
    decipher.final()
    return new Secret(body)
  } catch (cause) {
    throw new KmsError('KMS_CIPHERTEXT_REFUSED', 'the key does not open this', { cause })
  }
}
