import { sameBytes } from '@sealwright/bytes'
import { type OpenKmsKeyring } from '@sealwright/keyring'
import { type KeyringBackendConfig } from '@sealwright/kms-config'
import { KmsError, type KmsBackend } from '@sealwright/kms-v2'
import { agentLock, createLine, type SealContext } from '@sealwright/node-seals'
import { StoreError } from '@sealwright/seal-store'
import { type KeyringEvent } from './keyring-events.ts'
import { unusableStore } from './keyring-failure.ts'
import { type ExaminedSeal, keyringOpener } from './keyring-opener.ts'
import { readStored, type StoredKeyring } from './keyring-store.ts'
import { isOvertaken, tendKeyring } from './keyring-tender.ts'
import { assertSucceeds, type KeyringVersions, keyringVersions } from './keyring-versions.ts'

/** How long devices that lack records wait for the next try, in milliseconds. */
const TEND_INTERVAL_MS = 60_000

export interface KeyringBackendContext extends Pick<SealContext, 'pkcs11Program'> {
  /** Told of what happens. Must not throw. */
  readonly onKeyringEvent?: (event: KeyringEvent) => void
  /** For a look beside the plugin of this node, which has the store for itself: nothing is locked, and nothing written. Default: no. */
  readonly looksOnly?: boolean
}

/** What a backend over a keyring can do beside its port. */
export interface KeyringAbilities {
  /**
   * Whether this node could start again now: each seal that is not disabled opens the keyring in the store, for real. A seal of which a
   * PIN was refused is not tried.
   *
   * @throws {KmsError} `KMS_BACKEND_REFUSED` if the store cannot be used.
   */
  readonly examine: (signal: AbortSignal) => Promise<readonly ExaminedSeal[]>
  /** An operator changed something: seals that waited for that may be tried again. */
  readonly reload: () => void
}

/** What is open, and where it comes from. */
interface Held extends KeyringVersions {
  readonly stored: StoredKeyring
  readonly open: OpenKmsKeyring
}

/**
 * A keyring that any of several seals opens. It is opened once and held: to encrypt or decrypt asks no device.
 *
 * Nothing is read or asked before the first `observe`. When the store changes, the next `observe` starts to open it anew, beside serving
 * what is held; what cannot be opened is told, and what is held goes on.
 */
export function keyringBackend(
  config: KeyringBackendConfig,
  { onKeyringEvent: onEvent = () => undefined, pkcs11Program, looksOnly = false }: KeyringBackendContext,
): KmsBackend & KeyringAbilities {
  const storePath = config.store
  const opener = keyringOpener(config, { pkcs11Program }, onEvent)
  const lock = agentLock(storePath)
  /** One at a time: a PIN that is wrong must not be sent twice because two came together. */
  const inTurn = createLine()
  const stopped = new AbortController()
  let held: Held | undefined
  let opening: Promise<Held> | undefined
  /** Whether what is held is what the store has, as far as it could be looked at. */
  let isStoreTaken = true
  /** Bytes of the store that no seal would make usable: they are not tried again. */
  let notTaken: Uint8Array | undefined
  let refreshing: Promise<void> | undefined
  let tending: Promise<void> | undefined
  let tendAtMs = 0
  /** Where nothing is missing. */
  let tendedBytes: Uint8Array | undefined

  const hold = (next: Held): Held => {
    held = next
    notTaken = undefined
    return next
  }

  const openStored = async (stored: StoredKeyring, signal: AbortSignal): Promise<Held> => {
    const startedAtMs = performance.now()
    const { open, sealName } = await opener.open(stored.keyring, signal)
    if (held !== undefined) assertSucceeds(held.open, open)
    const next = hold({ stored, open, ...keyringVersions(open, held?.held) })
    isStoreTaken = true
    const versions = next.observation.versions.map(({ version }) => version)
    const { revision } = stored.keyring
    onEvent({ kind: 'opened', sealName, tookMs: performance.now() - startedAtMs, revision, versions })
    return next
  }

  const lockStore = async (signal: AbortSignal): Promise<void> => {
    if (looksOnly) return
    try {
      await lock.ensure(signal)
    } catch (error) {
      signal.throwIfAborted()
      // Whatever else is wrong with it, a disk that fails must not keep the cluster from its Secrets.
      if (!(error instanceof StoreError) || error.code === 'STORE_IN_USE') throw error
      onEvent({ kind: 'store-not-locked', cause: error })
    }
  }

  const openFirst = async (signal: AbortSignal): Promise<Held> => {
    try {
      const stored = await readStored(storePath)
      await lockStore(signal)
      return await inTurn(() => openStored(stored, signal))
    } catch (error) {
      if (signal.aborted) throw new KmsError('KMS_STOPPING', 'the KMS plugin is being stopped', { cause: error })
      throw unusableStore(error)
    }
  }

  /** Somebody has put back what is held. */
  const takenAgain = (): void => {
    notTaken = undefined
    if (isStoreTaken) return
    isStoreTaken = true
    onEvent({ kind: 'store-taken' })
  }

  const refresh = async (now: Held, signal: AbortSignal): Promise<void> => {
    let tried: Uint8Array | undefined
    try {
      const stored = await readStored(storePath)
      if (isSame(stored.bytes, now.stored.bytes)) {
        takenAgain()
        return
      }
      if (isSame(stored.bytes, notTaken)) return
      await lockStore(signal)
      tried = stored.bytes
      await inTurn(() => openStored(stored, signal))
    } catch (error) {
      if (signal.aborted) return
      isStoreTaken = false
      // What a seal may still open is tried again at the next look.
      if (!(error instanceof KmsError)) notTaken = tried
      onEvent({ kind: 'store-not-taken', cause: error })
    }
  }

  const tend = async ({ stored, open }: Held, signal: AbortSignal): Promise<void> => {
    try {
      const result = await inTurn(() => tendKeyring({ storePath, stored, open }, { opener, onEvent }, signal))
      if (result.kind === 'nothing-to-do') tendedBytes = stored.bytes
      // Meanwhile another one may have been opened, which is newer.
      if (result.kind === 'tended' && held?.stored === stored) {
        hold({ ...held, stored: result.stored })
        tendedBytes = undefined
        tendAtMs = 0
      }
    } catch (error) {
      if (!signal.aborted && !isOvertaken(error)) onEvent({ kind: 'tending-failed', cause: error })
    }
  }

  const tendLater = (now: Held): void => {
    if (tending !== undefined || performance.now() < tendAtMs || isSame(now.stored.bytes, tendedBytes)) return
    tendAtMs = performance.now() + TEND_INTERVAL_MS
    tending = tend(now, stopped.signal).finally(() => {
      tending = undefined
    })
  }

  const refreshLater = (now: Held): void => {
    refreshing ??= refresh(now, stopped.signal).finally(() => {
      refreshing = undefined
    })
  }

  /** What is held; what is being opened, if that is done before the call has to be. */
  const ready = async (signal: AbortSignal): Promise<Held> => {
    if (held !== undefined) return held
    if (opening === undefined) {
      throw new KmsError('KMS_BACKEND_UNAVAILABLE', 'the keyring of the KMS plugin is not open yet: see its log')
    }
    return await beforeAborted(opening, signal)
  }

  return {
    provider: 'keyring',
    async observe({ signal }) {
      if (held === undefined) {
        // Not under the signal of this call: others may wait for the same, each as long as it likes.
        opening ??= openFirst(stopped.signal).finally(() => {
          opening = undefined
        })
        const { observation } = await beforeAborted(opening, signal)
        return observation
      }
      const { observation } = held
      if (!looksOnly) {
        refreshLater(held)
        tendLater(held)
      }
      return observation
    },
    async encrypt({ version, plaintext, associatedData }, { signal }) {
      return (held ?? (await ready(signal))).encrypt(version, plaintext, associatedData)
    },
    async decrypt({ version, wrapped, associatedData }, { signal }) {
      return (held ?? (await ready(signal))).decrypt(version, wrapped, associatedData)
    },
    async examine(signal) {
      try {
        const { keyring } = await readStored(storePath)
        return await inTurn(() => opener.examine(keyring, signal))
      } catch (error) {
        signal.throwIfAborted()
        throw unusableStore(error)
      }
    },
    reload() {
      opener.reload()
      notTaken = undefined
      tendedBytes = undefined
      tendAtMs = 0
    },
    async [Symbol.asyncDispose]() {
      stopped.abort()
      await Promise.allSettled([opening, refreshing, tending])
      held = undefined
      await using rest = new AsyncDisposableStack()
      rest.use(lock)
      rest.use(opener)
    },
  }
}

/** @throws {KmsError} `KMS_DEADLINE_EXCEEDED`, `KMS_CANCELLED` if the signal comes first; the work goes on. */
async function beforeAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const given = Promise.withResolvers<never>()
  const giveUp = (): void => {
    const isLate = isTimeout(signal.reason)
    const [code, words] = isLate
      ? (['KMS_DEADLINE_EXCEEDED', 'the keyring of the KMS plugin was not open in time'] as const)
      : (['KMS_CANCELLED', 'the call was cancelled'] as const)
    given.reject(new KmsError(code, words, { cause: signal.reason }))
  }
  if (signal.aborted) giveUp()
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    return await Promise.race([work, given.promise])
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}

function isSame(one: Uint8Array, other: Uint8Array | undefined): boolean {
  return other !== undefined && sameBytes(one, other)
}

/** By shape: the reason of a deadline is no error of this realm. */
function isTimeout(reason: unknown): boolean {
  return typeof reason === 'object' && reason !== null && 'name' in reason && reason.name === 'TimeoutError'
}
