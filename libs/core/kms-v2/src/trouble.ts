import { type KeyVersion } from './backend.ts'
import { KmsError } from './errors.ts'

/** Why a key is not as it was. It is reported, and nothing is encrypted where that would lose data; when it ends, all goes on by itself. */
export type KeyTrouble =
  /**
   * A version is another key than before: it was deleted and made anew, or this is another backend. `seen`: what is there instead, which
   * nodes that remember nothing encrypt by.
   */
  | { readonly kind: 'replaced'; readonly version: number; readonly seen: readonly KeyVersion[] }
  /** Versions that were there are gone: an old backup was restored. */
  | { readonly kind: 'went-back'; readonly newest: number; readonly known: number }
  /** Only versions are left that look like former ones, made in the same second, and are others: their key ids would be the same. */
  | { readonly kind: 'indistinct'; readonly version: number }
  /** The backend has no such key, or one that was soft-deleted. */
  | { readonly kind: 'missing' }
  /** No version that may encrypt is left; the active one stays so in name. */
  | { readonly kind: 'unusable' }

/** What is wrong with the key, for kube-apiserver and for people; null if nothing is. */
export function describeTrouble(trouble: KeyTrouble | null): string | null {
  if (trouble === null) return null
  switch (trouble.kind) {
    case 'replaced':
      return `KMS_KEY_GONE: version ${trouble.version} of the key is not the one that it was: the key was deleted and made anew, or this is another backend; restore the old key, or take this one by sealctl kms adopt-key`
    case 'went-back':
      return `KMS_KEY_GONE: the newest version of the key is ${trouble.newest}, and was ${trouble.known}: the backend has gone back in time`
    case 'indistinct':
      return `KMS_KEY_GONE: version ${trouble.version} of the key was made in the same second as a former one, and cannot be told from it: rotate the key`
    case 'missing':
      return 'KMS_KEY_GONE: the key is not there, or cannot be used: restore it in the backend'
    case 'unusable':
      return 'KMS_KEY_GONE: no version of the key may both encrypt and decrypt'
  }
}

/**
 * Whether a version may encrypt: not if what it encrypts might never be decrypted again.
 *
 * @throws {@link KmsError} `KMS_KEY_GONE`.
 */
export function assertMayEncrypt(trouble: KeyTrouble | null, version: number): void {
  // The backend has gone back, yet not so far that it does not have this version.
  const isHarmless = trouble === null || (trouble.kind === 'went-back' && trouble.newest >= version)
  if (!isHarmless) throw keyGone(trouble)
}

export function keyGone(trouble: KeyTrouble, options?: ErrorOptions): KmsError {
  return new KmsError('KMS_KEY_GONE', describeTrouble(trouble) ?? '', options)
}
