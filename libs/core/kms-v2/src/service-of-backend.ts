import { type KeyVersion, type KmsBackend, type KmsProvider } from './backend.ts'
import {
  annotationsOf,
  assertBound,
  associatedDataOf,
  encodeHeader,
  joinCiphertext,
  MAX_WRAPPED_BYTES,
  parseCiphertext,
} from './ciphertext.ts'
import { KmsError, type KmsErrorCode } from './errors.ts'
import { keyIdOf } from './key-id.ts'
import { activeVersion, isSameVersion, type KeyLife, type KnownVersion } from './key-life.ts'
import {
  type DecryptRequest,
  type DecryptResponse,
  type EncryptResponse,
  type KmsCall,
  type KmsV2Service,
} from './service.ts'
import { type Secret } from '@sealwright/secret'
import { assertMayEncrypt, describeTrouble, keyGone } from './trouble.ts'

/** Longest plaintext, in bytes. kube-apiserver sends 32. */
export const MAX_PLAINTEXT_BYTES = 256

/** What a backend does not say of a key that is as it was seen last. */
const SURPRISES: ReadonlySet<KmsErrorCode> = new Set(['KMS_CIPHERTEXT_REFUSED', 'KMS_VERSION_RETIRED', 'KMS_KEY_GONE'])

export interface ServiceOptions {
  readonly backend: KmsBackend
  readonly clusterId: string
  /** What is known of the key now; null before anything is. */
  readonly life: () => KeyLife | null
  /**
   * Whether a look at the key has passed since the program started. Before it all is from memory, and the key may have been replaced since:
   * nothing is encrypted.
   */
  readonly hasLooked: () => boolean
  /**
   * Resolves when the look that is under way has ended, or when `signal` fires: an Encrypt that comes before the first has passed waits for it.
   * Left out: it is refused at once.
   */
  readonly lookEnds?: (signal: AbortSignal) => Promise<void>
  /** What is wrong with the backend, in words for kube-apiserver; null if nothing is. */
  readonly illness: () => string | null
  /**
   * Called when a request shows that the key may not be as it was seen last: data comes by a version that was never seen, or the backend
   * refuses what it should do. Must not throw. Whoever may write to etcd can make it be called, as often as they like: limit how often the
   * backend is looked at for it.
   */
  readonly onSurprise?: () => void
}

/** Serves KMS v2 from a backend. Nothing is asked of the backend before every check of a request has passed that needs no backend. */
export function kmsV2Service(options: ServiceOptions): KmsV2Service {
  const { backend, clusterId } = options
  const { provider } = backend
  const keyIds = new WeakMap<KnownVersion, string>()

  const keyIdFor = (known: KnownVersion): string => {
    const made = keyIds.get(known)
    if (made !== undefined) return made
    const keyId = keyIdOf({ provider, clusterId, ...known })
    keyIds.set(known, keyId)
    return keyId
  }

  const requireLife = (): KeyLife => {
    const life = options.life()
    if (life !== null) return life
    throw notSeenYet()
  }

  const requireActive = (life: KeyLife): KnownVersion => {
    const active = activeVersion(life)
    if (active !== undefined) return active
    if (life.trouble?.kind === 'indistinct') throw keyGone(life.trouble)
    throw new KmsError('KMS_NOT_READY', 'no version of the key may encrypt yet: see the log of the KMS plugin')
  }

  /** The version that new data is encrypted by. */
  const requireEncrypting = (life: KeyLife): KnownVersion => {
    const active = requireActive(life)
    assertMayEncrypt(life.trouble, active.version)
    return active
  }

  const watched = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await answer
    } catch (error) {
      if (error instanceof KmsError && SURPRISES.has(error.code)) options.onSurprise?.()
      throw error
    }
  }

  const encrypt = async (known: KnownVersion, plaintext: Secret, call: KmsCall): Promise<EncryptResponse> => {
    const place = { clusterId, keyId: keyIdFor(known) }
    const { version } = known
    const header = encodeHeader({ provider, ...known })
    const associatedData = associatedDataOf(place, header)
    const wrapped = await watched(backend.encrypt({ version, plaintext, associatedData }, call))
    if (wrapped.byteLength < 1 || wrapped.byteLength > MAX_WRAPPED_BYTES) {
      throw new KmsError('KMS_BACKEND_BROKEN', 'the backend gave an encrypted key of an impossible length')
    }
    const ciphertext = joinCiphertext(header, wrapped)
    return { ciphertext, keyId: place.keyId, annotations: annotationsOf(place, ciphertext) }
  }

  const decrypt = async (request: DecryptRequest, call: KmsCall): Promise<DecryptResponse> => {
    const { ciphertext, keyId, annotations } = request
    const { version, lineage, header, wrapped, ...made } = parseCiphertext(ciphertext)
    // Before the annotations: where the configuration names another cluster, this is what tells.
    if (made.provider !== provider || keyIdOf({ provider, clusterId, lineage, version }) !== keyId)
      throw unknownKeyId(provider)
    const place = { clusterId, keyId }
    assertBound(place, ciphertext, annotations)

    const origin = originOf({ version, lineage }, requireLife(), options.hasLooked())
    switch (origin.kind) {
      case 'retired':
        throw retired(provider)
      case 'never-seen':
        options.onSurprise?.()
        throw unknownKeyId(provider)
      case 'not-ours':
        throw unknownKeyId(provider)
      case 'present':
      case 'absent':
    }
    const associatedData = associatedDataOf(place, header)
    const plaintext = await inWordsFor(origin, watched(backend.decrypt({ version, wrapped, associatedData }, call)))
    if (isPossiblePlaintext(plaintext)) return { plaintext }
    plaintext.wipe()
    throw new KmsError('KMS_BACKEND_BROKEN', 'the backend decrypted to an impossible length')
  }

  return {
    status: () => {
      const life = requireLife()
      // An answer with a key id lets kube-apiserver write on by the seed that it has of it, for three minutes from then on, also when
      // healthz is not `ok`: rotateDEKOnKeyIDChange in k8s.io/apiserver v0.36.3, pkg/server/options/encryptionconfig/config.go. Without one it
      // ends when those three minutes are over (kmsv2PluginWriteDEKSourceMaxTTL), and reading goes on.
      const keyId = keyIdFor(requireEncrypting(life))
      return { version: 'v2', healthz: describeTrouble(life.trouble) ?? options.illness() ?? 'ok', keyId }
    },
    encrypt: async ({ plaintext }, call) => {
      assertPossible(plaintext)
      if (!options.hasLooked()) await options.lookEnds?.(call.signal)
      const active = requireEncrypting(requireLife())
      if (!options.hasLooked()) throw notLookedYet()
      return await encrypt(active, plaintext, call)
    },
    decrypt,
  }
}

/** What a node knows of the version that data was encrypted by. `absent` is asked for all the same. */
type Origin =
  | { readonly kind: 'present' }
  /**
   * Of a key that has been replaced, or was given up; or retired, by what was known before the backend went back in time, or before the program
   * started: the backend may still be able to, or may be able to again.
   */
  | { readonly kind: 'absent' }
  | { readonly kind: 'retired' }
  | { readonly kind: 'never-seen' }
  | { readonly kind: 'not-ours' }

/** @throws {@link KmsError} `KMS_NOT_READY`: not seen, yet nothing else was seen either. */
function originOf(made: Pick<KeyVersion, 'version' | 'lineage'>, life: KeyLife, hasLooked: boolean): Origin {
  const { versions, former, trouble, doubts } = life
  // What is remembered may be wrong by now, or was never true. The backend knows by itself what it has retired.
  const retired: Origin = { kind: hasLooked && trouble === null && doubts === 0 ? 'retired' : 'absent' }
  const isIt = (one: KeyVersion): boolean => isSameVersion(one, { ...made, createdAtMs: 0 })
  const known = versions.find(({ version }) => version === made.version)
  if (known !== undefined && isIt(known)) {
    if (known.phase === 'retired') return retired
    return { kind: trouble?.kind === 'replaced' ? 'absent' : 'present' }
  }
  if (former.some(isIt)) return { kind: 'absent' }
  // Nodes that remember nothing encrypt by it, and it is no harm to read that.
  if (trouble?.kind === 'replaced' && trouble.seen.some(isIt)) return { kind: 'present' }
  if (known !== undefined) return { kind: 'not-ours' }
  const [oldest] = versions
  if (oldest === undefined) throw notSeenYet()
  return made.version < oldest.version ? retired : { kind: 'never-seen' }
}

/** A refusal of what a key made that may not be there any more says so, and does not call the data damaged. */
async function inWordsFor(origin: Origin, plaintext: Promise<Secret>): Promise<Secret> {
  try {
    return await plaintext
  } catch (cause) {
    if (origin.kind !== 'absent' || !(cause instanceof KmsError) || cause.code !== 'KMS_CIPHERTEXT_REFUSED') throw cause
    throw new KmsError(
      'KMS_KEY_GONE',
      'this was encrypted by a key that the backend does not have any more, or is damaged: restore that key',
      { cause },
    )
  }
}

function assertPossible(plaintext: Secret): void {
  if (isPossiblePlaintext(plaintext)) return
  throw new KmsError('KMS_REQUEST_INVALID', `the plaintext must have 1 to ${MAX_PLAINTEXT_BYTES} bytes`)
}

function isPossiblePlaintext({ byteLength }: Secret): boolean {
  return byteLength >= 1 && byteLength <= MAX_PLAINTEXT_BYTES
}

function notSeenYet(): KmsError {
  return new KmsError(
    'KMS_NOT_READY',
    'the key has not been seen yet: the backend does not answer, see the log of the KMS plugin',
  )
}

function notLookedYet(): KmsError {
  return new KmsError(
    'KMS_NOT_READY',
    'the key was not looked at since the KMS plugin started: this ends by itself once the backend answers',
  )
}

/** How a retirement is taken back. */
const TAKING_BACK: Readonly<Record<KmsProvider, string>> = {
  transit: 'lower min_decryption_version of the key in OpenBao, and write the data anew before raising it',
  keyring: 'sealctl kms keyring restore takes that back; write the data anew before retiring it again',
}

function retired(provider: KmsProvider): KmsError {
  return new KmsError(
    'KMS_VERSION_RETIRED',
    `this was encrypted by a version of the key that was retired: ${TAKING_BACK[provider]}`,
  )
}

/** What else than a mistake may be behind it. */
const NOT_KNOWN_YET: Readonly<Record<KmsProvider, string>> = {
  transit: '',
  keyring:
    'where another node was rotated and this one was not brought it, sealctl kms keyring export there and import here; else ',
}

function unknownKeyId(provider: KmsProvider): KmsError {
  return new KmsError(
    'KMS_KEY_ID_UNKNOWN',
    `no key of this provider in this cluster has this key id: ${NOT_KNOWN_YET[provider]}check cluster id and key in the configuration of the KMS plugin; if they are right, the data is damaged`,
  )
}
