import { type KeyObject } from 'node:crypto'

import { decryptEnvelope, encryptEnvelope, EnvelopeError, parseEnvelope, type RandomBytes } from '@sealwright/envelope'

import { assertAuthentic, authenticate } from './authenticate.ts'
import { hex, sameBytes, textBytes } from '@sealwright/bytes'
import { encodeKeyring } from './codec.ts'
import { deriveMacKey } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, type Keyring, MAX_NAME_BYTES } from './keyring.ts'
import { parseKmsKeyId } from './kms-key-id.ts'
import { currentGeneration, isGivenUp } from './lineage.ts'
import { mergeContents } from './merge.ts'
import { assertOrdinaryGrowth } from './room.ts'
import { type SealKeys, unwrapSealKeys, type UnwrapInput } from './seal-keys.ts'
import { decryptStaticBlob, type StaticBlob } from './static-blob.ts'
import { type HeldSubkeys, type Subkeys, subkeysOf, uniteSubkeys } from './subkeys.ts'

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
  readonly #subkeys: Map<string, Subkeys>

  private constructor(keyring: Keyring, subkeys: HeldSubkeys, isOriginProven: boolean) {
    this.keyring = keyring
    this.current = currentGeneration(keyring)
    this.isOriginProven = isOriginProven
    this.#subkeys = new Map(subkeys)
  }

  /**
   * Keeps the subkeys of all seal keys that are held.
   *
   * @param sealKeys - hold the key of the current generation; stay the caller's, who wipes them at once.
   * @throws {@link KeyringError} `KEYRING_KEY_UNKNOWN` or `KEYRING_AUTH_FAILED`.
   */
  static from(keyring: Keyring, sealKeys: SealKeys, { opensStaticBlobs = false }: OpenOptions = {}): OpenKeyring {
    assertAuthentic(keyring, deriveMacKey(sealKeys.of(currentGeneration(keyring).id), keyring.clusterId))
    const subkeys = subkeysOf(keyring, sealKeys, { opensStaticBlobs })
    return new OpenKeyring(keyring, subkeys, sealKeys.isOriginProven)
  }

  /** What OpenBao is told as the id of the current key. Throws `KEYRING_CLOSED`. */
  get keyId(): string {
    return this.#currentSubkeys().keyId
  }

  /**
   * What vouches for the audit log under the generation of this key id; of the current one if none is named. 32 bytes.
   *
   * @returns `undefined` if its key is not held. Throws `KEYRING_CLOSED`.
   * @see docs/formats/audit-log.md §3
   */
  auditKey(keyId = this.keyId): KeyObject | undefined {
    this.#currentSubkeys()
    return [...this.#subkeys.values()].find(subkeys => subkeys.keyId === keyId)?.auditKey
  }

  /** Whether the key of this very generation is held: of its id and its signing key, whatever it is called. */
  reaches({ id, signingKey }: Pick<Generation, 'id' | 'signingKey'>): boolean {
    const held = this.#subkeys.get(hex(id))
    return held !== undefined && sameBytes(held.signingKey, signingKey)
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
   * @throws {@link KeyringError} `KEYRING_CLOSED`; `KEYRING_OTHER_USE` for the keyring of a KMS plugin; `EnvelopeError` `ENVELOPE_INPUT_INVALID` or `ENVELOPE_TOO_LARGE`.
   * @see docs/formats/keyring.md §8
   */
  encryptBlob(input: {
    readonly plaintext: Uint8Array
    readonly aad: Uint8Array
    readonly randomBytes: RandomBytes
  }): Uint8Array {
    const { keyId, blobKey } = this.#currentSubkeys()
    if (parseKmsKeyId(keyId) !== null) {
      throw new KeyringError(
        'KEYRING_OTHER_USE',
        'this keyring is that of a KMS plugin: OpenBao needs one of its own, in another store',
      )
    }
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
    const named = [...this.#subkeys.values()].filter(({ keyId }) => sameBytes(textBytes(keyId), keyRef))
    const context = [this.keyring.clusterId, aad]
    let failed: EnvelopeError | undefined
    // Several only where somebody has given a key id of ours to a generation of their own, on a side that was given up.
    for (const { blobKey } of named) {
      try {
        return decryptEnvelope({ key: blobKey, purpose: 'openbao-blob', context, bytes: blob })
      } catch (error) {
        if (!(error instanceof EnvelopeError)) throw error
        failed ??= error
      }
    }
    throw (
      failed ?? new KeyringError('KEYRING_KEY_UNKNOWN', 'the blob was encrypted under a key id that is not held here')
    )
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
    const brought = other instanceof OpenKeyring ? other.#subkeys : new Map<string, Subkeys>()
    const subkeys = uniteSubkeys(this.#subkeys, { keyring: theirs, subkeys: brought }, contents)
    const isOriginProven = this.isOriginProven || (other instanceof OpenKeyring && other.isOriginProven)
    const keyring = authenticate(contents, macKeyOf(subkeys, currentGeneration(contents)))
    const isNew =
      [...subkeys.keys()].some(place => !this.#subkeys.has(place)) ||
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

  #currentSubkeys(): Subkeys {
    const subkeys = this.#subkeys.get(hex(this.current.id))
    if (subkeys !== undefined) return subkeys
    throw new KeyringError('KEYRING_CLOSED', 'the keyring was closed')
  }
}

function macKeyOf(subkeys: HeldSubkeys, { id, number, keyId }: Generation): KeyObject {
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
