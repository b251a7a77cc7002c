import { type GrpcStatusName, type Refusal } from './status.ts'

/** What a handler gets besides the message. */
export interface UnaryCall {
  /** Aborted when the caller has gone, or its deadline has passed. Made when it is first asked for. */
  readonly signal: AbortSignal
}

/** One method of a service. */
export interface UnaryMethod<Name extends string> {
  readonly name: Name
  /**
   * @param message - the handler's, to overwrite as soon as it can: nobody else keeps it.
   * @returns a frame, made by `frameOf` or `allocateFrame`.
   */
  readonly handle: (message: Uint8Array, call: UnaryCall) => Uint8Array | Promise<Uint8Array>
  /** Whether the answer is overwritten once it has been sent. */
  readonly answersWithSecret: boolean
}

/** A service, free of HTTP. */
export interface UnaryService<Name extends string> {
  /** By their paths, such as `/v2.KeyManagementService/Encrypt`. */
  readonly methods: ReadonlyMap<string, UnaryMethod<Name>>
  /** What a handler's error means for the caller; `null` for a bug, of which the caller gets no word. */
  readonly refusalOf: (error: unknown) => Refusal | null
}

/** How one call went. */
export interface CallReport<Name extends string> {
  readonly method: Name
  /** `CANCELLED` too when the caller left before it was answered. */
  readonly status: GrpcStatusName
  /** From the request's headers to the answer. */
  readonly durationMs: number
  /** What the handler threw, if it did. */
  readonly cause: unknown
}
