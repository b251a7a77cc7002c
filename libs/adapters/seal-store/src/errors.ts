import { errorCodeOf, hasErrorCode } from '@sealwright/system-error'

/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type StoreErrorCode =
  | 'STORE_NOT_FOUND' // the folder does not exist
  | 'STORE_NOT_A_FOLDER' // something else, or a symbolic link, is where the folder should be
  | 'STORE_MOVED' // the folder was renamed, replaced or mounted over since it was opened
  | 'STORE_UNSAFE_PERMISSIONS' // wrong owner, or open to group or others
  | 'STORE_UNREADABLE' // it is there, but the system does not let us read it
  | 'STORE_NOT_A_FILE' // a link, folder, pipe, socket or device where one of our files should be
  | 'STORE_TOO_LARGE' // a file, or bytes to be written, over the limit
  | 'STORE_KEYRING_MISSING' // no keyring, but traces that there was one
  | 'STORE_KEYRING_EMPTY' // a keyring of zero bytes
  | 'STORE_KEYRING_INVALID' // bytes that the given `verify` does not accept; its error is the cause
  | 'STORE_UNKNOWN_FILES' // no keyring, but files that are not ours: not taken for an empty store
  | 'STORE_CHANGED' // compare-and-swap failed: the store does not hold what the caller thinks
  | 'STORE_PROOF_FAILED' // the new keyring could not be opened back; the proof's error is the cause
  | 'STORE_READ_ONLY' // the file system is mounted read-only
  | 'STORE_DISK_FULL' // no space, no inode or no quota left
  | 'STORE_PERMISSION_DENIED' // we may not write here
  | 'STORE_WRITE_FAILED' // any other failure of a write; the message says what is in the store now
  | 'STORE_IN_USE' // another agent or KMS plugin holds the store
  | 'STORE_LOCK_TIMEOUT' // the writer lock did not become free in time
  | 'STORE_LOCK_FAILED' // the `flock` program failed in a way we do not know
  | 'STORE_TOOL_MISSING' // there is no `flock` program
  | 'STORE_FILE_NOT_OURS' // `placeFile` found a file there that it must not replace

/** Every failure of this library. `message` is for the operator and says what to do; switch on `code`. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** What went wrong, in the system's words, for the end of a message. By shape: an error may come from another realm. */
export function reasonOf(cause: unknown): string {
  const message = typeof cause === 'object' && cause !== null && 'message' in cause ? cause.message : undefined
  return typeof message === 'string' ? message : String(cause)
}

/** A failure that a caller's function threw, with its code if it has one, for a message of ours. */
export function describeCause(cause: unknown): string {
  const code = errorCodeOf(cause)
  return code === undefined ? reasonOf(cause) : `${code}: ${reasonOf(cause)}`
}

/** `path` as one word for a POSIX shell, so that a command in a message can be pasted. */
export function shellWord(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`
}

/**
 * Names the failure of a system call that reads.
 *
 * @param path - the file or folder as the operator knows it.
 */
export function readFailure(path: string, cause: unknown): StoreError {
  if (hasErrorCode(cause, 'ELOOP')) {
    return new StoreError('STORE_NOT_A_FILE', `${path} is a symbolic link: put the file itself there`, { cause })
  }
  // ENXIO and ENODEV: a socket, or a device without a driver. Neither can be opened.
  if (hasErrorCode(cause, 'ENXIO', 'ENODEV')) {
    return new StoreError('STORE_NOT_A_FILE', `${path} is not a regular file: find out who put it there`, { cause })
  }
  const remedy = hasErrorCode(cause, 'EACCES', 'EPERM')
    ? 'check that it and the folders above belong to the user this program runs as'
    : 'check the disk and the kernel log'
  return new StoreError('STORE_UNREADABLE', `${path} cannot be read: ${remedy} (${reasonOf(cause)})`, { cause })
}

/**
 * Names the failure of a system call that writes.
 *
 * @param path - the file or folder as the operator knows it.
 * @param outcome - one clause on what is in the store now.
 */
export function writeFailure(path: string, cause: unknown, outcome = 'nothing was replaced'): StoreError {
  const facts = `${outcome} (${reasonOf(cause)})`
  switch (errorCodeOf(cause)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new StoreError('STORE_DISK_FULL', `no space left for ${path}: free some and try again; ${facts}`, {
        cause,
      })
    case 'EROFS':
      return new StoreError(
        'STORE_READ_ONLY',
        `the file system of ${path} is read-only: check the mount, and the kernel log for disk errors; ${facts}`,
        { cause },
      )
    case 'EACCES':
    case 'EPERM':
      return new StoreError(
        'STORE_PERMISSION_DENIED',
        `no permission to write ${path}: check its owner and the mode of its folder; ${facts}`,
        { cause },
      )
    case undefined:
    default:
      return new StoreError(
        'STORE_WRITE_FAILED',
        `${path} cannot be written: check the disk and the kernel log; ${facts}`,
        { cause },
      )
  }
}
