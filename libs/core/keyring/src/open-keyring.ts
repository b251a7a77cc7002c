import { type KeyObject } from 'node:crypto'

import { decryptEnvelope, encryptEnvelope, parseEnvelope, type RandomBytes } from '@sealwright/envelope'

import { assertAuthentic, authenticate } from './authenticate.ts'
import { hex, sameBytes, textBytes } from './bytes.ts'
import { encodeKeyring } from './codec.ts'
import { deriveBlobKey, deriveMacKey } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, type Keyring, type KeyringContents, MAX_NAME_BYTES } from './keyring.ts'
import { currentGeneration, isGivenUp } from './lineage.ts'
import { mergeContents } from './merge.ts'
import { assertOrdinaryGrowth } from './room.ts'
import { type SealKeys, unwrapSealKeys, type UnwrapInput } from './seal-keys.ts'
import { decryptStaticBlob, mayHaveStaticBlobs, type StaticBlob, staticBlobKey } from './static-blob.ts'

/** The subkeys of one generation that a running agent needs. The seal key itself is not among them, unless static blobs may name it. */
interface Subkeys {
  readonly keyId: string
  readonly blobKey: KeyObject
  readonly macKey: KeyObject
  /** The seal key itself. See {@link OpenOptions.opensStaticBlobs}. */
  readonly staticKey: KeyObject | undefined
}

/** What an open keyring is to be able to do. */
export interface OpenOptions {
  /**
   * Decrypt what OpenBao's own `seal "static"` encrypted under the first seal key, too. The seal key of that generation itself is
   * then held, until the generation is retired; without this it never is.
   */
  readonly opensStaticBlobs?: boolean
}

/**
 * An authentic keyring and the subkeys that serve OpenBao. It cannot make records, links or generations: for that the
 * keyring is opened again.
 */
export class OpenKeyring {
  /** Checked under its current seal key. */
  readonly keyring: Keyring
  /** The generation that encrypts. */
  readonly current: Generation
  /** See {@link SealKeys.isOriginProven}. */
  readonly isOriginProven: boolean
  /** By the id of their generation, in hex; with a former key id after it where there is one. */
  readonly #subkeys: Map<string, Subkeys>

  private constructor(keyring: Keyring, subkeys: Map<string, Subkeys>, isOriginProven: boolean) {
    this.keyring = keyring
    this.current = currentGeneration(keyring)
    this.isOriginProven = isOriginProven
    this.#subkeys = subkeys
  }

  /**
   * Keeps the subkeys of all seal keys that are held.
   *
   * @param sealKeys - hold the key of the current generation; stay the caller's, who wipes them at once.
   * @throws {@link KeyringError} `KEYRING_KEY_UNKNOWN` or `KEYRING_AUTH_FAILED`.
   */
  static from(keyring: Keyring, sealKeys: SealKeys, { opensStaticBlobs = false }: OpenOptions = {}): OpenKeyring {
    const { clusterId, generations } = keyring
    assertAuthentic(keyring, deriveMacKey(sealKeys.of(currentGeneration(keyring).id), clusterId))
    const subkeys = new Map<string, Subkeys>()
    for (const generation of generations) {
      const { id, keyId } = generation
      if (!sealKeys.has(id)) continue
      const sealKey = sealKeys.of(id)
      subkeys.set(hex(id), {
        keyId,
        blobKey: deriveBlobKey(sealKey, clusterId),
        macKey: deriveMacKey(sealKey, clusterId),
        staticKey: opensStaticBlobs && mayHaveStaticBlobs(generation) ? staticBlobKey(sealKey) : undefined,
      })
    }
    return new OpenKeyring(keyring, subkeys, sealKeys.isOriginProven)
  }

  /** What OpenBao is told as the id of the current key. Throws `KEYRING_CLOSED`. */
  get keyId(): string {
    return this.#currentSubkeys().keyId
  }

  /** Every key id whose blobs decrypt here, oldest first. */
  get keyIds(): readonly string[] {
    return this.keyring.generations.filter(({ id }) => this.#subkeys.has(hex(id))).map(({ keyId }) => keyId)
  }

  /**
   * Encrypts what OpenBao hands to its seal, under the current generation.
   *
   * @param input.plaintext - 1 byte to 1 MiB; stays the caller's.
   * @param input.aad - what OpenBao gives along, empty so far; needed again to decrypt.
   * @returns An envelope of purpose `openbao-blob`.
   * @throws {@link KeyringError} `KEYRING_CLOSED`; `EnvelopeError` `ENVELOPE_INPUT_INVALID` or `ENVELOPE_TOO_LARGE`.
   * @see docs/formats/keyring.md §8
   */
  encryptBlob(input: {
    readonly plaintext: Uint8Array
    readonly aad: Uint8Array
    readonly randomBytes: RandomBytes
  }): Uint8Array {
    const { keyId, blobKey } = this.#currentSubkeys()
    const { plaintext, aad, randomBytes } = input
    const context = [this.keyring.clusterId, aad]
    return encryptEnvelope({
      key: blobKey,
      purpose: 'openbao-blob',
      keyRef: textBytes(keyId),
      context,
      plaintext,
      randomBytes,
    })
  }

  /**
   * Decrypts what any node of this cluster encrypted under any generation that is held here.
   *
   * @returns The plaintext, owned by the caller, who wipes it.
   * @throws {@link KeyringError} `KEYRING_KEY_UNKNOWN` or `KEYRING_CLOSED`; `EnvelopeError` as `decryptEnvelope`.
   */
  decryptBlob({ blob, aad }: { readonly blob: Uint8Array; readonly aad: Uint8Array }): Uint8Array {
    this.#currentSubkeys()
    const { keyRef } = parseEnvelope(blob)
    const subkeys = [...this.#subkeys.values()].find(({ keyId }) => sameBytes(textBytes(keyId), keyRef))
    if (subkeys === undefined) {
      throw new KeyringError('KEYRING_KEY_UNKNOWN', 'the blob was encrypted under a key id that is not held here')
    }
    const context = [this.keyring.clusterId, aad]
    return decryptEnvelope({ key: subkeys.blobKey, purpose: 'openbao-blob', context, bytes: blob })
  }

  /**
   * Decrypts what OpenBao's own `seal "static"` encrypted under the seal key of a generation, before Sealwright took over.
   *
   * @returns The plaintext, owned by the caller, who wipes it.
   * @throws {@link KeyringError} `KEYRING_KEY_UNKNOWN` if no static blob may name this key id, or none at all here;
   *   `KEYRING_STATIC_BLOB_MALFORMED`, `KEYRING_STATIC_BLOB_AUTH_FAILED` or `KEYRING_CLOSED`.
   */
  decryptStaticBlob({ aad, keyId, ...blob }: StaticBlob & { readonly aad: Uint8Array }): Uint8Array {
    this.#currentSubkeys()
    const held = [...this.#subkeys.values()].find(subkeys => subkeys.staticKey !== undefined)
    if (held?.staticKey === undefined || held.keyId !== keyId) {
      const ours =
        held === undefined ? 'none is held for such blobs here' : `the key held for such blobs is ${held.keyId}`
      const named = JSON.stringify(keyId.slice(0, MAX_NAME_BYTES))
      throw new KeyringError('KEYRING_KEY_UNKNOWN', `a blob of the static seal names the key id ${named}; ${ours}`)
    }
    return decryptStaticBlob(blob, { key: held.staticKey, aad })
  }

  /**
   * Unites this keyring with another of the same cluster, each of which may know what the other does not.
   *
   * @param other - one that is open too, or one whose current generation is held here.
   * @returns This very one if `other` brings nothing new, else one that holds the keys of both. Both stay as they are.
   * @throws {@link KeyringError} `KEYRING_AUTH_FAILED` if `other` is not authentic; `KEYRING_OTHER_CLUSTER`;
   *   `KEYRING_KEY_UNKNOWN` if `other` is generations ahead: then open it first; `KEYRING_DIVERGED`; `KEYRING_NO_WAY_IN` if each
   *   has removed whoever is left in the other; `KEYRING_NO_ROOM` if `other` brings so much that a break of the chain would lack the room;
   *   `KEYRING_TOO_LARGE`, `KEYRING_CLOSED`.
   * @see docs/formats/keyring.md §9
   */
  mergedWith(other: Keyring | OpenKeyring): OpenKeyring {
    this.#currentSubkeys()
    const theirs = other instanceof OpenKeyring ? other.keyring : other
    if (!sameBytes(theirs.clusterId, this.keyring.clusterId)) {
      throw new KeyringError('KEYRING_OTHER_CLUSTER', 'the other keyring belongs to another cluster')
    }
    if (!(other instanceof OpenKeyring)) assertAuthentic(theirs, macKeyOf(this.#subkeys, currentGeneration(theirs)))
    const contents = mergeContents(this.keyring, theirs)
    // After a break that was not known here, what is held has no say, nor does its size.
    if (!isGivenUp(this.keyring, this.current, theirs)) assertOrdinaryGrowth(this.keyring, contents)
    const subkeys = this.#unitedSubkeys(contents, other instanceof OpenKeyring ? other : this)
    const isOriginProven = this.isOriginProven || (other instanceof OpenKeyring && other.isOriginProven)
    const keyring = authenticate(contents, macKeyOf(subkeys, currentGeneration(contents)))
    const isNew =
      subkeys.size > this.#subkeys.size ||
      isOriginProven !== this.isOriginProven ||
      !sameBytes(encodeKeyring(keyring), encodeKeyring(this.keyring))
    return isNew ? new OpenKeyring(keyring, subkeys, isOriginProven) : this
  }

  /** Lets go of all keys. The memory is cleared when the engine collects them. */
  close(): void {
    this.#subkeys.clear()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /**
   * Those of all generations that the merged contents list, by the key ids that these say. What was held here stays beyond that, in the
   * last place, also a key under the id that a side which was given up knew it by: blobs from there can still be saved.
   */
  #unitedSubkeys({ generations }: KeyringContents, other: OpenKeyring): Map<string, Subkeys> {
    const united = new Map<string, Subkeys>()
    for (const generation of generations) {
      const id = hex(generation.id)
      const mine = this.#subkeys.get(id)
      const theirs = other.#subkeys.get(id)
      const subkeys = mine ?? theirs
      if (subkeys === undefined) continue
      const staticKey = mayHaveStaticBlobs(generation) ? (mine?.staticKey ?? theirs?.staticKey) : undefined
      united.set(id, { ...subkeys, keyId: generation.keyId, staticKey })
    }
    for (const [id, subkeys] of this.#subkeys) {
      const listed = united.get(id)
      if (listed === undefined) united.set(id, subkeys)
      else if (listed.keyId !== subkeys.keyId)
        united.set(`${id} as ${subkeys.keyId}`, { ...subkeys, staticKey: undefined })
    }
    return united
  }

  #currentSubkeys(): Subkeys {
    const subkeys = this.#subkeys.get(hex(this.current.id))
    if (subkeys !== undefined) return subkeys
    throw new KeyringError('KEYRING_CLOSED', 'the keyring was closed')
  }
}

function macKeyOf(subkeys: ReadonlyMap<string, Subkeys>, { id, number, keyId }: Generation): KeyObject {
  const held = subkeys.get(hex(id))
  if (held !== undefined) return held.macKey
  throw new KeyringError('KEYRING_KEY_UNKNOWN', `the key of generation ${number} (${keyId}) is not held here`)
}

/**
 * Opens a keyring through one member. The plain seal keys exist only inside this call and are wiped before it returns.
 *
 * @throws {@link KeyringError} as `unwrapSealKeys`. What the member throws passes through.
 */
export async function openKeyring(input: UnwrapInput, options?: OpenOptions): Promise<OpenKeyring> {
  const sealKeys = await unwrapSealKeys(input)
  try {
    return OpenKeyring.from(input.keyring, sealKeys, options)
  } finally {
    sealKeys.wipe()
  }
}
