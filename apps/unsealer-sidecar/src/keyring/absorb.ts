import { createHash } from 'node:crypto'
import { EnvelopeError } from '@sealwright/envelope'
import { assertLeavesRoom, decodeKeyring, type Keyring, KeyringError, type OpenKeyring } from '@sealwright/keyring'
import { errorCodeOf } from '@sealwright/system-error'
import { type Arrival } from './ways-in.ts'

/** How many keyrings are remembered that brought nothing new: one for each node that encrypts, and some to spare. */
const MAX_KNOWN = 64

export interface AbsorberDependencies {
  readonly held: () => OpenKeyring | undefined
  /**
   * Unites what is held with a keyring whose current key is held. Throws a {@link KeyringError}, or for one that came by itself
   * a `CustodyError` `CUSTODY_SHUT_OUT`.
   */
  readonly merge: (keyring: Keyring, arrival: Arrival) => void
  /**
   * Opens a keyring that is ahead and unites it with what is held. `false` if a seal has to come back first; throws what is wrong with
   * the keyring.
   */
  readonly open: (keyring: Keyring, arrival: Arrival, signal: AbortSignal) => Promise<boolean>
  /**
   * Whether a break of the chain that is held has given this keyring up. What it brings is not kept for good, so it is looked at anew when
   * something else is held, unless a seal was asked for it in vain.
   */
  readonly isGivenUp: (keyring: Keyring) => boolean
  /** Nothing is held yet: a node without a store may open this one instead. */
  readonly offer: (keyring: Keyring) => void
  /** What is held is not what it was: the store should have it, too. */
  readonly onLearned: (keyring: Keyring) => void
  /** A keyring was not taken. What is held stays as it is. */
  readonly onRefused: (error: unknown) => void
  /** Ends all absorbing. What one caller began goes on when that caller leaves: others may wait for the same. */
  readonly signal: AbortSignal
}

/** Why a keyring was not taken. */
export interface KeyringRefusal {
  readonly code: string
  readonly message: string
}

export interface KeyringAbsorber {
  /**
   * Learns from the bytes of a keyring. What it makes of them shows in what is held.
   *
   * @returns why it was not taken, as it was found when these bytes came first; `undefined` if it was.
   */
  readonly absorb: (bytes: Uint8Array, signal: AbortSignal) => Promise<KeyringRefusal | undefined>
  /**
   * As `absorb`, for somebody who wants to know what came of it; also if the same bytes were looked at before.
   *
   * @returns `false` if a seal has to come back first.
   * @throws what is wrong with the keyring.
   */
  readonly learn: (bytes: Uint8Array, signal: AbortSignal) => Promise<boolean>
  /** Looks again at what it has looked at before: the configuration may say now that it is to be trusted. */
  readonly startAfresh: () => void
}

/**
 * Learns from the keyrings that OpenBao hands back beside its blobs. Each node puts its own there when it encrypts, so that all
 * learn of rotations, and a node without a store learns everything.
 *
 * A keyring from there is as good as one from the store: its lineage and its MAC say whether it is genuine. A seal is asked only
 * for one of this cluster that is ahead of what is held, or where there is nothing else to open.
 */
export function keyringAbsorber(dependencies: AbsorberDependencies): KeyringAbsorber {
  const { held, merge, open, isGivenUp, offer, onLearned, onRefused, signal: ownSignal } = dependencies
  /** What is being looked at just now, by SHA-256 in hex: the same bytes may come in several calls at once. */
  const underWay = new Map<string, Promise<KeyringRefusal | undefined>>()
  /** By SHA-256, in hex: those that bring nothing new, the oldest first; why if they were refused; beside what, if only beside that. */
  const known = new Map<string, { readonly refusal?: KeyringRefusal; readonly beside?: OpenKeyring }>()

  const remember = (
    id: string,
    what: { readonly refusal?: KeyringRefusal; readonly beside?: OpenKeyring } = {},
  ): void => {
    known.set(id, what)
    const [oldest] = known.keys()
    if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest)
  }

  /** @returns `in-vain` if a seal was asked, and brought nothing: to ask again would not help. */
  const take = async (
    keyring: Keyring,
    arrival: Arrival,
    signal: AbortSignal,
  ): Promise<'taken' | 'in-vain' | 'not-now'> => {
    const before = held()
    try {
      merge(keyring, arrival)
      return 'taken'
    } catch (error) {
      // It is generations ahead: only a seal can say what is in it.
      if (!(error instanceof KeyringError) || error.code !== 'KEYRING_KEY_UNKNOWN') throw error
      if (!(await open(keyring, arrival, signal))) return 'not-now'
      return held() === before ? 'in-vain' : 'taken'
    }
  }

  /** Tells whoever stores it if something else is held after `work` than before. */
  const noticing = async <T>(work: () => Promise<T>): Promise<T> => {
    const before = held()
    try {
      return await work()
    } finally {
      const after = held()
      if (after !== undefined && after !== before) onLearned(after.keyring)
    }
  }

  const takeOrOffer = async (keyring: Keyring): ReturnType<typeof take> => {
    if (held() !== undefined) return await noticing(() => take(keyring, 'by-itself', ownSignal))
    offer(keyring)
    return 'not-now'
  }

  const look = async (id: string, bytes: Uint8Array): Promise<KeyringRefusal | undefined> => {
    try {
      const keyring = decodeKeyring(bytes)
      // What an operator brings by hand may fill it up: see `learn`.
      assertLeavesRoom(keyring, held()?.keyring)
      const outcome = await takeOrOffer(keyring)
      if (outcome === 'not-now') return NO_SEAL_YET
      const beside = outcome === 'taken' && isGivenUp(keyring) ? held() : undefined
      remember(id, beside === undefined ? {} : { beside })
      return undefined
    } catch (error) {
      ownSignal.throwIfAborted()
      const refusal = refusalOf(error)
      // What the keyring itself is the cause of does not change; a seal that was down comes back, and may be another way in.
      if (error instanceof KeyringError || error instanceof EnvelopeError) remember(id, { refusal })
      onRefused(error)
      return refusal
    }
  }

  return {
    async absorb(bytes, signal) {
      signal.throwIfAborted()
      const id = createHash('sha256').update(bytes).digest('hex')
      const earlier = known.get(id)
      if (earlier !== undefined && (earlier.beside === undefined || earlier.beside === held())) return earlier.refusal
      const looking =
        underWay.get(id) ??
        look(id, bytes).finally(() => {
          underWay.delete(id)
        })
      underWay.set(id, looking)
      return await untilAborted(looking, signal)
    },
    async learn(bytes, signal) {
      const limit = AbortSignal.any([signal, ownSignal])
      limit.throwIfAborted()
      const keyring = decodeKeyring(bytes)
      return held() !== undefined && (await noticing(() => take(keyring, 'by-hand', limit))) !== 'not-now'
    },
    startAfresh() {
      known.clear()
    },
  }
}

const NO_SEAL_YET: KeyringRefusal = {
  code: 'CUSTODY_SEALED',
  message: 'no seal of this node opens it now; it is tried again by itself',
}

function refusalOf(error: unknown): KeyringRefusal {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  return { code: errorCodeOf(error) ?? name, message }
}

/** Waits for `work`, but no longer than until `signal` is aborted. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const leave = (): void => {
    reject(signal.reason as Error)
  }
  signal.addEventListener('abort', leave, { once: true })
  if (signal.aborted) leave()
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}
