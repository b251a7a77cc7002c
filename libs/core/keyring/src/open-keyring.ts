import { type KeyObject } from 'node:crypto'

import { decryptEnvelope, encryptEnvelope, parseEnvelope, type RandomBytes } from '@sealwright/envelope'

import { assertAuthentic, authenticate, isAuthentic } from './authenticate.ts'
import { sameBytes, textBytes } from './bytes.ts'
import { chainStart } from './chain.ts'
import { encodeKeyring } from './codec.ts'
import { deriveBlobKey, deriveMacKey } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { findGeneration, type Keyring } from './keyring.ts'
import { isSameGeneration, mergeContents } from './merge.ts'
import { type SealKeys, unwrapSealKeys, type UnwrapInput } from './seal-keys.ts'

/** The subkeys of one generation that a running agent needs. The seal key itself is not among them. */
interface Subkeys {
  readonly keyId: string
  readonly blobKey: KeyObject
  readonly macKey: KeyObject
}

/**
 * An authentic keyring and the subkeys that serve OpenBao. It cannot make records, links or generations: for that the
 * keyring is opened again.
 */
export class OpenKeyring {
  /** Checked under its current seal key. */
  readonly keyring: Keyring
  readonly #subkeys: Map<number, Subkeys>

  /**
   * @param sealKeys - hold the key of the current generation; stay the caller's, who wipes them at once.
   * @throws {@link KeyringError} `KEYRING_KEY_UNKNOWN` or `KEYRING_AUTH_FAILED`.
   */
  constructor(keyring: Keyring, sealKeys: SealKeys) {
    const { clusterId } = keyring
    assertAuthentic(keyring, deriveMacKey(sealKeys.of(keyring.currentGeneration), clusterId))
    this.keyring = keyring
    this.#subkeys = new Map()
    for (const { number, keyId } of keyring.generations) {
      if (!sealKeys.generations.includes(number)) continue
      const sealKey = sealKeys.of(number)
      this.#subkeys.set(number, {
        keyId,
        blobKey: deriveBlobKey(sealKey, clusterId),
        macKey: deriveMacKey(sealKey, clusterId),
      })
    }
  }

  /** What OpenBao is told as the id of the current key. Throws `KEYRING_CLOSED`. */
  get keyId(): string {
    return this.#current().keyId
  }

  /** Every key id whose blobs decrypt here, oldest first. */
  get keyIds(): readonly string[] {
    return [...this.#subkeys.values()].map(({ keyId }) => keyId)
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
    const { keyId, blobKey } = this.#current()
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
    this.#current()
    const { keyRef } = parseEnvelope(blob)
    const subkeys = [...this.#subkeys.values()].find(({ keyId }) => sameBytes(textBytes(keyId), keyRef))
    if (subkeys === undefined) {
      throw new KeyringError('KEYRING_KEY_UNKNOWN', 'the blob was encrypted under a key id that is not held here')
    }
    const context = [this.keyring.clusterId, aad]
    return decryptEnvelope({ key: subkeys.blobKey, purpose: 'openbao-blob', context, bytes: blob })
  }

  /**
   * Whether another keyring, as a blob of OpenBao may carry it, is of this cluster and authentic.
   *
   * @throws {@link KeyringError} `KEYRING_KEY_UNKNOWN` if its current generation is not held here, so nobody can say;
   *   `KEYRING_DIVERGED` if the chain between the two was broken: a key that was given up must not speak any more;
   *   `KEYRING_OTHER_CLUSTER`; `KEYRING_CLOSED`.
   */
  isAuthentic(other: Keyring): boolean {
    this.#current()
    if (!sameBytes(other.clusterId, this.keyring.clusterId)) {
      throw new KeyringError('KEYRING_OTHER_CLUSTER', 'the other keyring belongs to another cluster')
    }
    if (!isAuthentic(other, this.#macKeyOf(other.currentGeneration))) return false
    this.#assertChainFrom(other.currentGeneration)
    return true
  }

  /**
   * Unites this keyring with another of the same cluster, each of which may know what the other does not.
   *
   * @returns A keyring whose MAC fits, equal to this one if `other` brings nothing new. This one stays as it is.
   * @throws {@link KeyringError} `KEYRING_AUTH_FAILED` if `other` is not authentic; `KEYRING_OTHER_CLUSTER`;
   *   `KEYRING_KEY_UNKNOWN` if `other` is generations ahead: then open that one and merge this one into it;
   *   `KEYRING_DIVERGED`, also if the chain between the two was broken; `KEYRING_NO_WAY_IN`, `KEYRING_TOO_LARGE`, `KEYRING_CLOSED`.
   * @see docs/formats/keyring.md §9
   */
  mergedWith(other: Keyring): Keyring {
    if (!this.isAuthentic(other)) {
      throw new KeyringError('KEYRING_AUTH_FAILED', 'the other keyring was changed: its MAC does not fit')
    }
    const contents = mergeContents(this.keyring, other)
    return authenticate(contents, this.#macKeyOf(contents.currentGeneration))
  }

  /**
   * Whether this one may take the place of `held`, which has served so far: it is of the same cluster, it has moved on or is
   * the very same, and it still holds the key that is current there. So a keyring that was made without that key never
   * takes over, whatever it says about itself.
   *
   * @throws {@link KeyringError} `KEYRING_CLOSED`.
   */
  supersedes({ keyring: held }: OpenKeyring): boolean {
    this.#current()
    const { keyring } = this
    if (!sameBytes(keyring.clusterId, held.clusterId) || keyring.revision < held.revision) return false
    if (keyring.revision === held.revision) return sameBytes(encodeKeyring(keyring), encodeKeyring(held))
    const [now, before] = [keyring, held].map(side => findGeneration(side, held.currentGeneration))
    return (
      keyring.currentGeneration >= held.currentGeneration &&
      this.#subkeys.has(held.currentGeneration) &&
      now !== undefined &&
      before !== undefined &&
      isSameGeneration(now, before)
    )
  }

  /** Lets go of all keys. The memory is cleared when the engine collects them. */
  close(): void {
    this.#subkeys.clear()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Throws `KEYRING_DIVERGED` unless wrapped keys lead from `generation` to the current one. */
  #assertChainFrom(generation: number): void {
    const start = chainStart(this.keyring, this.keyring.currentGeneration)
    if (generation >= start) return
    throw new KeyringError(
      'KEYRING_DIVERGED',
      `the chain was broken on purpose before generation ${start}, and the other is at generation ${generation}`,
    )
  }

  #macKeyOf(generation: number): KeyObject {
    const subkeys = this.#subkeys.get(generation)
    if (subkeys !== undefined) return subkeys.macKey
    throw new KeyringError('KEYRING_KEY_UNKNOWN', `the key of generation ${generation} is not held here`)
  }

  #current(): Subkeys {
    const subkeys = this.#subkeys.get(this.keyring.currentGeneration)
    if (subkeys !== undefined) return subkeys
    throw new KeyringError('KEYRING_CLOSED', 'the keyring was closed')
  }
}

/**
 * Opens a keyring through one member. The plain seal keys exist only inside this call and are wiped before it returns.
 *
 * @throws {@link KeyringError} as `unwrapSealKeys`. What the member throws passes through.
 */
export async function openKeyring(input: UnwrapInput): Promise<OpenKeyring> {
  const sealKeys = await unwrapSealKeys(input)
  try {
    return new OpenKeyring(input.keyring, sealKeys)
  } finally {
    sealKeys.wipe()
  }
}
