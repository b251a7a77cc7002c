import { OpenBaoError } from './error.ts'
import { statusError } from './failure.ts'
import { field, optional, parseJsonObject, readBoolean, readCount, readString } from './json.ts'
import { type Answer } from './transport.ts'

/** What a node says of itself. It may be wrong: see `standby`. */
export type Health =
  | { readonly kind: 'active'; readonly version: string; readonly clusterId: string | undefined }
  /** Also what a standby says that has lost its quorum and its leader: no proof of a working cluster. */
  | { readonly kind: 'standby'; readonly version: string; readonly clusterId: string | undefined }
  | { readonly kind: 'sealed'; readonly version: string }
  | { readonly kind: 'uninitialised'; readonly version: string }
  /** 500: the node cannot read its own state, for instance after a wrong restore. */
  | { readonly kind: 'failing'; readonly errors: readonly string[] }

/** Statuses by which `sys/health` tells a state. Any other is a failure. */
export const HEALTH_STATUSES = [200, 429, 500, 501, 503]

/**
 * Reads an answer of `sys/health`: the status tells the state, and the body must agree with it.
 *
 * 429 means "standby" here only with such a body; a rate limit quota answers 429 with an error text.
 */
export function parseHealth(answer: Answer): Health {
  const { status, body, request, serverErrors } = answer
  if (status === 500) return { kind: 'failing', errors: serverErrors }
  if (status === 429 && serverErrors.length > 0) throw statusError(answer)

  const place = { request, path: '' }
  const object = parseJsonObject(body, request)
  const initialised = field(object, 'initialized', readBoolean, place)
  const sealed = field(object, 'sealed', readBoolean, place)
  const standby = field(object, 'standby', readBoolean, place)
  const version = field(object, 'version', readString, place)
  const clusterId = field(object, 'cluster_id', optional(readString), place)
  switch (status) {
    case 200:
      if (initialised && !sealed && !standby) return { kind: 'active', version, clusterId }
      break
    case 429:
      if (initialised && !sealed && standby) return { kind: 'standby', version, clusterId }
      break
    case 501:
      if (!initialised) return { kind: 'uninitialised', version }
      break
    case 503:
      if (initialised && sealed) return { kind: 'sealed', version }
      break
    default:
      break
  }
  throw new OpenBaoError(
    'OPENBAO_RESPONSE_MALFORMED',
    `${request}: status ${status} with initialized ${initialised}, sealed ${sealed}, standby ${standby}`,
    { status },
  )
}

/** What a node says of its seal. */
export interface SealStatus {
  /** Of the seal: `shamir`, `static`, or what a plugin answers. */
  readonly type: string
  readonly initialised: boolean
  readonly sealed: boolean
  /** Unseal keys (Shamir) or recovery keys (others) needed and made; 0 of 0 without recovery keys. */
  readonly threshold: number
  readonly shares: number
  /** Keys entered so far. */
  readonly progress: number
  /** A change of seal waits for keys. */
  readonly migration: boolean
  readonly version: string
  /** Known once unsealed. */
  readonly clusterId: string | undefined
}

/** Reads an answer of `sys/seal-status`. */
export function parseSealStatus({ body, request }: Answer): SealStatus {
  const place = { request, path: '' }
  const object = parseJsonObject(body, request)
  return {
    type: field(object, 'type', readString, place),
    initialised: field(object, 'initialized', readBoolean, place),
    sealed: field(object, 'sealed', readBoolean, place),
    threshold: field(object, 't', readCount, place),
    shares: field(object, 'n', readCount, place),
    progress: field(object, 'progress', readCount, place),
    migration: field(object, 'migration', readBoolean, place),
    version: field(object, 'version', readString, place),
    clusterId: field(object, 'cluster_id', optional(readString), place),
  }
}

/** Reads an answer of `sys/init`: whether the node holds an initialised barrier. */
export function parseInitStatus({ body, request }: Answer): boolean {
  return field(parseJsonObject(body, request), 'initialized', readBoolean, { request, path: '' })
}
