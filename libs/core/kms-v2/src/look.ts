import { type Secret } from '@sealwright/secret'
import { type KeyVersion, type KmsBackend } from './backend.ts'
import { MAX_WRAPPED_BYTES, sampleAssociatedDataOf } from './ciphertext.ts'
import { KmsError } from './errors.ts'
import { activeVersion, keyNotFound, type KeyLife, observeKey, type RotationPolicy, showsLess } from './key-life.ts'
import { keepSamples, type Sample, samplesToTry, versionsToSample } from './samples.ts'
import { type KmsCall } from './service.ts'

export interface LookOptions {
  readonly backend: KmsBackend
  readonly clusterId: string
  readonly policy: RotationPolicy
  /** Milliseconds since 1970. */
  readonly nowMs: number
  /** Counts the looks, so that old versions are tried out in turn. */
  readonly turn: number
  /** Whether no look has passed since the program started. Default: no. */
  readonly isFirst?: boolean
  /** What a version is tried out with, and a sample is made of: 32 random bytes each time. They are wiped here, and kept by nobody. */
  readonly newPlaintext: () => Secret
}

/** What came of one look at a key. */
export interface KeyLook {
  readonly life: KeyLife
  /** Whether it says nothing: less was seen than is known, and not yet often enough to be believed. */
  readonly isDoubtful: boolean
  /** Why the newest version does not work, while another one encrypts; null if it does, or was not tried. */
  readonly newestFailure: { readonly version: number; readonly cause: unknown } | null
  /** Why what should work does not; null if all does that was tried. */
  readonly failure: { readonly cause: unknown } | null
}

/**
 * Looks at a key, and tries it out for real: what this node has seen working must decrypt still, and what encrypts, or is to, must give
 * back what it has encrypted.
 *
 * @throws {@link KmsError} what the backend throws before anything was learnt; `KMS_BACKEND_BROKEN` also if it gives back something else.
 */
export async function lookAtKey(known: KeyLife | null, options: LookOptions, call: KmsCall): Promise<KeyLook> {
  const { backend, policy, nowMs, turn, isFirst = false } = options
  let observation
  try {
    observation = await backend.observe(call)
  } catch (cause) {
    if (known === null || !(cause instanceof KmsError) || cause.code !== 'KMS_KEY_GONE') throw cause
    return { life: keyNotFound(known), isDoubtful: false, newestFailure: null, failure: { cause } }
  }
  const samples = samplesToTry(known, observation, turn)
  const answers = await Promise.all(samples.map(sample => isRefused(sample, options, call)))
  const refused = new Set(samples.filter((_, index) => answers[index] === true).map(({ version }) => version))
  const taken = new Map<number, Uint8Array>()
  const tryOut = async (version: KeyVersion): Promise<KeyLook['failure']> => {
    try {
      taken.set(version.version, await takeSample(version, options, call))
      return null
    } catch (cause) {
      return { cause }
    }
  }
  const { oldestDecryptable, oldestEncryptable } = observation
  const newest = observation.versions.findLast(
    ({ version }) => version >= Math.max(oldestDecryptable, oldestEncryptable),
  )
  const newestFailure =
    newest === undefined || (known !== null && showsLess(known, observation)) ? null : await tryOut(newest)
  const before = known === null ? undefined : activeVersion(known)
  // Nothing is begun with that was not seen to work.
  if (newestFailure !== null && before === undefined) throw newestFailure.cause
  const newestWorks = newest !== undefined && taken.has(newest.version)
  const life = observeKey(known, observation, { nowMs, policy, isFirst, newestWorks, refused })
  if (life.doubts > 0 && life.trouble === known?.trouble) {
    return { life, isDoubtful: true, newestFailure: null, failure: null }
  }
  let failure = before?.version === newest?.version ? newestFailure : null
  for (const version of versionsToSample(life, observation, turn)) {
    if (!taken.has(version.version) && version.version !== newest?.version) failure ??= await tryOut(version)
  }
  return {
    life: keepSamples(life, taken),
    isDoubtful: false,
    newestFailure:
      newestFailure === null || newest === undefined || failure === newestFailure
        ? null
        : { version: newest.version, ...newestFailure },
    failure,
  }
}

/** Encrypts and decrypts by one version of the key. What it encrypted may serve as its sample. */
async function takeSample(version: KeyVersion, options: LookOptions, call: KmsCall): Promise<Uint8Array> {
  const { backend } = options
  const request = { version: version.version, associatedData: associatedDataOf(version, options) }
  using plaintext = options.newPlaintext()
  const wrapped = await backend.encrypt({ ...request, plaintext }, call)
  if (wrapped.byteLength < 1 || wrapped.byteLength > MAX_WRAPPED_BYTES) {
    throw new KmsError('KMS_BACKEND_BROKEN', 'the backend gave an encrypted key of an impossible length')
  }
  using decrypted = await backend.decrypt({ ...request, wrapped }, call)
  if (decrypted.equals(plaintext)) return wrapped
  throw new KmsError('KMS_BACKEND_BROKEN', 'the backend decrypts to something else than was encrypted')
}

/** Whether the backend says that another key made a sample. A version that was retired, or anything else that is wrong, is another matter. */
async function isRefused(known: Sample, options: LookOptions, call: KmsCall): Promise<boolean> {
  const { version, sample: wrapped } = known
  try {
    const request = { version, wrapped, associatedData: associatedDataOf(known, options) }
    const plaintext = await options.backend.decrypt(request, call)
    plaintext.wipe()
    return false
  } catch (error) {
    if (!(error instanceof KmsError)) throw error
    if (error.code === 'KMS_CIPHERTEXT_REFUSED') return true
    if (error.code === 'KMS_VERSION_RETIRED') return false
    throw error
  }
}

function associatedDataOf(version: KeyVersion, { backend, clusterId }: LookOptions): Uint8Array {
  return sampleAssociatedDataOf({ provider: backend.provider, clusterId, ...version })
}
