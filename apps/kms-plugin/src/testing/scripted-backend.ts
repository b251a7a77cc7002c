import { type KeyObservation, type KeyVersion, KmsError, type KmsBackend } from '@sealwright/kms-v2'
import { Secret } from '@sealwright/secret'

/** A backend in memory that does what a test tells it: no cipher, since none is looked at here. */
export interface ScriptedBackend extends KmsBackend {
  observe: KmsBackend['observe']
  /** What the next looks see. */
  observation: KeyObservation
  /** What every call throws, if anything. */
  failure: KmsError | null
  /** Versions that neither encrypt nor decrypt. */
  readonly broken: Set<number>
  /** Gives back something else than was encrypted. */
  lies: boolean
  /** Which key there is: what another one encrypted is refused. */
  key: number
  readonly calls: string[]
}

/** @param newest - versions 1 to this one, made at 0 ms, 1 ms and so on. */
export function observationOf(newest: number, changes: Partial<KeyObservation> = {}): KeyObservation {
  const versions = Array.from({ length: newest }, (_, index): KeyVersion => versionOf(index + 1))
  return { versions, oldestDecryptable: 1, oldestEncryptable: 1, ...changes }
}

export function versionOf(version: number): KeyVersion {
  return { version, lineage: new Uint8Array(16).fill(version), createdAtMs: version - 1 }
}

export function scriptedBackend(observation = observationOf(1)): ScriptedBackend {
  const backend: ScriptedBackend = {
    provider: 'transit',
    observation,
    failure: null,
    broken: new Set(),
    lies: false,
    key: 1,
    calls: [],
    observe: () => answer('observe', () => backend.observation),
    encrypt: ({ version, plaintext }) =>
      answer(`encrypt ${version}`, () => plaintext.reveal(bytes => Uint8Array.of(backend.key, ...bytes)), version),
    decrypt: ({ version, wrapped }) =>
      answer(
        `decrypt ${version}`,
        () => {
          if (wrapped[0] !== backend.key) throw new KmsError('KMS_CIPHERTEXT_REFUSED', 'of another key')
          return new Secret(backend.lies ? new Uint8Array(32) : wrapped.slice(1))
        },
        version,
      ),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }

  const answer = <T>(call: string, make: () => T, version?: number): Promise<T> => {
    backend.calls.push(call)
    if (backend.failure !== null) return Promise.reject(backend.failure)
    if (version !== undefined && backend.broken.has(version)) {
      return Promise.reject(new KmsError('KMS_BACKEND_REFUSED', 'not by this version'))
    }
    return new Promise(resolve => {
      resolve(make())
    })
  }
  return backend
}
