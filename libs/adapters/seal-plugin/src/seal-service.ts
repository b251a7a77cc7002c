/** What OpenBao stores for us. Every field but `keyId` is opaque to it. */
export interface SealBlob {
  readonly ciphertext: Uint8Array
  readonly iv: Uint8Array
  /** Must be what {@link SealService.keyId} answers while this key is the current one. */
  readonly keyId: string
  /** May carry a whole keyring: 20,000 bytes were stored and given back unchanged. */
  readonly wrappedKey: Uint8Array
  /** A number of our own choice, an unsigned 64-bit integer. */
  readonly mechanism: bigint
}

/** The seal behind the protocol. One service answers all sessions and all of their instances. */
export interface SealService {
  /** Stored by OpenBao as the seal's type. Constant for the life of a cluster. */
  readonly type: string

  /**
   * Called for each `SetConfig`, before OpenBao's listener exists: check the options and return, never wait.
   *
   * @returns `metadata`, printed in OpenBao's start banner: nothing secret.
   * @throws {@link SealServiceRefusal} to end OpenBao with that text.
   */
  configure(options: ReadonlyMap<string, string>): { readonly metadata: Readonly<Record<string, string>> }

  /**
   * Called when somebody initialises OpenBao, and again for a session that follows one. OpenBao has made its raft storage by
   * then and cannot do that twice, so wait here for a key rather than refuse.
   *
   * @throws {@link SealServiceRefusal} if none comes: the storage then has to be emptied before the next attempt.
   */
  prepareInitialise(): void | Promise<void>

  /** Id of the key that {@link SealService.encrypt} uses now. @throws {@link SealServiceRefusal} while no key is open. */
  keyId(): string

  /** Closes `plaintext` from memory: anybody can trigger it without a token. `plaintext` is wiped when it returns. */
  encrypt(plaintext: Uint8Array, aad: Uint8Array): SealBlob | Promise<SealBlob>

  /**
   * Opens what any node of the cluster closed. May wait for a TPM, but not for people: OpenBao asks again each 5 s.
   *
   * @param signal - aborted when OpenBao cancels the call or its session ends.
   * @returns The plaintext; the caller takes it over and wipes it after sending.
   */
  decrypt(blob: SealBlob, aad: Uint8Array, signal: AbortSignal): Promise<Uint8Array>
}

/**
 * A refusal with words for other people. Any other error of a service becomes one fixed text.
 *
 * `message` reaches OpenBao's server log (SetConfig, Decrypt): say the code and what to do. `publicMessage` reaches
 * anybody, even without a token (Init, Encrypt, KeyId): without it they get the fixed text.
 */
export class SealServiceRefusal extends Error {
  override readonly name = 'SealServiceRefusal'
  readonly code: string
  readonly publicMessage: string | undefined

  constructor(code: string, message: string, options?: ErrorOptions & { readonly publicMessage?: string }) {
    super(message, options)
    this.code = code
    this.publicMessage = options?.publicMessage
  }
}
