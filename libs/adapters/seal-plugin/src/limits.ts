/** Bounds of one agent. Every one can be set; the defaults suit one OpenBao per agent. */
export interface SealPluginLimits {
  /** Sessions at once. A new one displaces the oldest that has no host. */
  readonly maxSessions: number
  /** Sessions waiting to be made. More are dropped: a connector asks again. */
  readonly maxWaitingRequests: number
  /** How long a session waits for its host. */
  readonly hostTimeoutMs: number
  /** Longest gRPC message, both ways. A blob carries a keyring, of up to 832 KiB. */
  readonly maxMessageBytes: number
  /** Connections of one session at once; a host needs one. */
  readonly maxConnectionsPerSession: number
  /** Seal instances of one session; a migration needs two. */
  readonly maxInstancesPerSession: number
  /** Calls under way at once on one connection. */
  readonly maxConcurrentCalls: number
  /** Sessions prepared ahead, so that a starting OpenBao does not wait for key pair and pipe. */
  readonly spareKits: number
}

export const DEFAULT_LIMITS: SealPluginLimits = {
  maxSessions: 16,
  maxWaitingRequests: 64,
  hostTimeoutMs: 15_000,
  maxMessageBytes: 2 * 1024 * 1024,
  maxConnectionsPerSession: 4,
  maxInstancesPerSession: 16,
  maxConcurrentCalls: 64,
  spareKits: 2,
}
