/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type KubeStorageErrorCode = 'KUBE_STORAGE_MALFORMED' // it says that it is encrypted by KMS v2, and cannot be what kube-apiserver wrote

/** A value that kube-apiserver could not read either. The message says what is wrong with it, and holds nothing of it. */
export class KubeStorageError extends Error {
  override readonly name = 'KubeStorageError'
  readonly code: KubeStorageErrorCode

  constructor(code: KubeStorageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export function malformed(what: string): KubeStorageError {
  return new KubeStorageError('KUBE_STORAGE_MALFORMED', `not an encrypted object of kube-apiserver: ${what}`)
}
