/** Bounds of one server. */
export interface UnaryLimits {
  /** Connections at once. For another one, that makes room which has been idle for longest. */
  readonly maxSessions: number
  /** Calls under way at once on one connection; the client is told, and waits. */
  readonly maxConcurrentCalls: number
  /** Longest message of a request. */
  readonly maxMessageBytes: number
  /** How long a request may take to come to its end, after its headers. */
  readonly bodyTimeoutMs: number
  /**
   * Memory for the calls of all connections together: 8 KiB for each call, and its message. Each connection has 64 KiB for certain, so that it can
   * become more by that.
   */
  readonly maxCallBytes: number
  /** Longest list of headers of a request, as HTTP/2 counts it: 32 bytes more for each field. */
  readonly maxHeaderBytes: number
  /** Most header fields of a request. */
  readonly maxHeaderFields: number
  /** Memory that HTTP/2 may take for one connection. */
  readonly maxSessionMegabytes: number
  /** PING frames, and SETTINGS frames, that a client may send between two calls. gRPC clients send them to measure. */
  readonly maxFramesBetweenCalls: number
  /** How long a new connection may take to say that it speaks HTTP/2. After that it may be silent for ever. */
  readonly prefaceTimeoutMs: number
}
