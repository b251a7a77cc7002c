import { type Secret } from '@sealwright/secret'
import { type OaepHash } from './oaep-hash.ts'
import { type Pkcs11Module } from './module.ts'

/** Which token, by what is printed on it or what was given to it. Slot numbers change when a reader is plugged in elsewhere. */
export type TokenSelector = { readonly label: string } | { readonly serialNumber: string }

/** Which key on the token: by CKA_ID or by CKA_LABEL. */
export type KeySelector = { readonly id: Uint8Array } | { readonly label: string }

/** A token, and how to log in to it. */
export type TokenAccess = {
  readonly module: Pkcs11Module
  readonly token: TokenSelector
  /** The user's PIN in UTF-8. The caller's, who wipes it. */
  readonly pin?: Secret
  /** Limit of one whole operation, in milliseconds: starting the process, logging in and working together. */
  readonly timeoutMs: number
}

/** How a key on a token is to be used. */
export type Pkcs11Access = TokenAccess & {
  readonly key: KeySelector
  readonly mechanism: 'aes-gcm' | 'rsa-oaep'
  /** The hash for RSA-OAEP. Default: the best one that the token has; what was sealed with another one still opens. */
  readonly oaepHash?: OaepHash
  /** Source of initialisation vectors: `crypto.randomBytes` outside tests. */
  readonly randomBytes: (count: number) => Uint8Array
}

/** Texts that a token selector may stand for, for messages. */
export function describeToken(selector: TokenSelector): string {
  return 'label' in selector ? `labelled ${selector.label}` : `with serial number ${selector.serialNumber}`
}

export function describeKey(selector: KeySelector): string {
  return 'label' in selector ? `labelled ${selector.label}` : `with CKA_ID ${Buffer.from(selector.id).toString('hex')}`
}
