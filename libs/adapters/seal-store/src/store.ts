import { type FlockCommand } from './flock.ts'
import { createFolder, openFolder } from './folder.ts'
import { lockFolder, type StoreLock } from './lock.ts'
import { assertPrivate, tightenModes } from './permissions.ts'
import { readKeyringFrom, type VerifyKeyring } from './read-keyring.ts'
import { type KeyringWrite, type WriteOutcome, writeKeyringTo } from './write-keyring.ts'

/** How long a write waits for another writer: a proof on a busy TPM takes seconds. */
const WRITER_LOCK_TIMEOUT_MS = 30_000

/** How long the `flock` program may take for the agent lock, which it never waits for. */
const AGENT_LOCK_TIMEOUT_MS = 10_000

/** How a store is opened. */
export interface SealStoreOptions {
  /** The folder. Its last part must not be a symbolic link. */
  readonly path: string
  /** Throws if bytes are not a keyring. Called on all that is read and on all that is to be written. */
  readonly verify: VerifyKeyring
  /** Make the folder if it is missing; the folder above must exist. Default: no. */
  readonly create?: boolean
  /**
   * Take group and other bits away from the folder and our files instead of refusing them, where we own them.
   * For volumes with `fsGroup`, which get group bits at every mount. Default: no.
   */
  readonly tightenModes?: boolean
  /** Default `['flock']`, looked for in the system's folders. */
  readonly flockCommand?: FlockCommand
  /** Default 30,000. */
  readonly writerLockTimeoutMs?: number
}

/** The open folder in which a node keeps its keyring. Several may be open at once, in one or many processes. */
export interface SealStore extends AsyncDisposable {
  readonly path: string
  /**
   * Reads the keyring. Changes nothing and takes no lock.
   *
   * @returns `undefined` only if no keyring was ever written here.
   * @throws {@link StoreError} `STORE_KEYRING_MISSING`, `STORE_UNKNOWN_FILES`, `STORE_KEYRING_EMPTY`,
   * `STORE_KEYRING_INVALID`, `STORE_NOT_A_FILE`, `STORE_TOO_LARGE`, `STORE_UNSAFE_PERMISSIONS`, `STORE_UNREADABLE`,
   * `STORE_MOVED`.
   */
  readKeyring(): Promise<Uint8Array | undefined>
  /**
   * Replaces the keyring atomically after proving that the new one opens; keeps the old one as `keyring.previous`.
   *
   * @throws {@link StoreError} those of reading; `STORE_CHANGED`, `STORE_PROOF_FAILED`, `STORE_DISK_FULL`,
   * `STORE_READ_ONLY`, `STORE_PERMISSION_DENIED`, `STORE_WRITE_FAILED`, `STORE_LOCK_TIMEOUT`, `STORE_LOCK_FAILED`,
   * `STORE_TOOL_MISSING`; the reason of `signal`. After each the store is as it was, unless the message says otherwise.
   */
  writeKeyring(write: KeyringWrite): Promise<WriteOutcome>
  /**
   * Takes the lock that an agent holds for its life. The kernel frees it when the process ends.
   *
   * @throws {@link StoreError} `STORE_IN_USE`, and the codes of locking; the reason of `signal`.
   */
  lockForAgent(options: { readonly signal: AbortSignal }): Promise<StoreLock>
}

/**
 * Opens a seal store and checks that only we can reach it.
 *
 * @throws {@link StoreError} `STORE_NOT_FOUND`, `STORE_NOT_A_FOLDER`, `STORE_UNSAFE_PERMISSIONS`, `STORE_UNREADABLE`;
 * with `create` or `tightenModes` also the codes of a failed write.
 * @see docs/formats/seal-store.md
 */
export async function openSealStore(options: SealStoreOptions): Promise<SealStore> {
  const { verify, flockCommand = ['flock'], writerLockTimeoutMs = WRITER_LOCK_TIMEOUT_MS } = options
  if (options.create === true) await createFolder(options.path)
  const folder = await openFolder(options.path)
  try {
    if (options.tightenModes === true) await tightenModes(folder)
    assertPrivate(folder.path, await folder.handle.stat())
  } catch (cause) {
    await folder[Symbol.asyncDispose]()
    throw cause
  }
  return {
    path: folder.path,
    readKeyring: () => readKeyringFrom(folder, verify),
    writeKeyring: write =>
      writeKeyringTo(folder, write, {
        verify,
        lock: { flockCommand, timeoutMs: writerLockTimeoutMs },
        onStep: () => undefined,
      }),
    async lockForAgent({ signal }) {
      await folder.assertInPlace()
      return lockFolder(folder, 'agent', { flockCommand, timeoutMs: AGENT_LOCK_TIMEOUT_MS, signal })
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}
