/** Everything worth logging, counting or auditing. Holds no key bytes. */
export type StaticDeliveryEvent =
  /** Somebody opened the pipe: OpenBao that starts, or whoever else may read it. */
  | { readonly kind: 'readerCame'; readonly fileName: string; readonly keyId: string }
  /** The key was written while they read. */
  | { readonly kind: 'delivered'; readonly fileName: string; readonly keyId: string; readonly waitedMs: number }
  /** They were gone before there was a key. Nothing was written. */
  | { readonly kind: 'readerLeft'; readonly fileName: string; readonly keyId: string }
  /** There is no key of this id: they read an empty file, and OpenBao ends with an error. */
  | { readonly kind: 'keyUnknown'; readonly fileName: string; readonly keyId: string }
  /** The key could not be unwrapped now; it is tried again as long as they wait. */
  | { readonly kind: 'unwrapFailed'; readonly fileName: string; readonly keyId: string; readonly cause: unknown }
  /** Something of ours failed; it is tried again. */
  | { readonly kind: 'pipeFailed'; readonly fileName: string; readonly keyId: string; readonly cause: unknown }
