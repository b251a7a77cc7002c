import { type Secret } from '@sealwright/secret'

/** Reads a credential anew, from its file for instance. Hands it over: it is wiped once it was used. */
export type ReadSecret = (options: { readonly signal: AbortSignal }) => Promise<Secret>

/** How we prove to another OpenBao who we are. Slashes around mount paths do not count. */
export type AuthMethod = TokenMethod | LoginMethod

/** A token that somebody else has made. We keep it alive if it can be renewed, and look for another one each time. */
export interface TokenMethod {
  readonly method: 'token'
  readonly readToken: ReadSecret
}

/** A credential that is given for a token. */
export type LoginMethod =
  | {
      readonly method: 'approle'
      /** Default: `approle`. */
      readonly mountPath?: string
      readonly readRoleId: ReadSecret
      readonly readSecretId: ReadSecret
    }
  | {
      readonly method: 'jwt'
      /** Default: `jwt`. */
      readonly mountPath?: string
      readonly role: string
      readonly readJwt: ReadSecret
    }
  | {
      readonly method: 'kubernetes'
      /** Default: `kubernetes`. */
      readonly mountPath?: string
      readonly role: string
      /** The token of the pod's service account. */
      readonly readJwt: ReadSecret
    }
  | {
      /** The client certificate of the connection. */
      readonly method: 'cert'
      /** Default: `cert`. */
      readonly mountPath?: string
      /** Left out: whichever role the certificate fits. */
      readonly role?: string
    }
