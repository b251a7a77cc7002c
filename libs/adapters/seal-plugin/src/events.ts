/** Why a session ended. */
export type SessionEnd =
  | 'shutdown' // the host asked for it, the normal end
  | 'hostLost' // the host's stream or its last connection ended without a Shutdown
  | 'hostAbsent' // no host came in time
  | 'displaced' // a newer request took the place of a session without a host
  | 'agentClosed' // we ended

/** What the methods of the Wrapper service are called in events. */
export type WrapperMethod = 'SetConfig' | 'Type' | 'KeyId' | 'Encrypt' | 'Decrypt' | 'Init' | 'Finalize'

/** Everything worth logging, counting or auditing. Holds no secret; `cause` may hold paths, so it stays at home. */
export type SealPluginEvent =
  | {
      readonly kind: 'sessionOpened'
      readonly sessionId: string
      /** SHA-256 of the client's certificate, hex. */
      readonly clientFingerprint: string
      readonly handOverMs: number
      readonly openSessions: number
    }
  | { readonly kind: 'hostConnected'; readonly sessionId: string; readonly afterMs: number }
  | {
      readonly kind: 'sessionEnded'
      readonly sessionId: string
      readonly reason: SessionEnd
      readonly lastedMs: number
    }
  /** Two hosts at the same time: an OpenBao that restarts, or somebody who should not be there. */
  | { readonly kind: 'secondLiveSession'; readonly sessionId: string; readonly otherSessionIds: readonly string[] }
  /** A client that could not prove the certificate of its session, or spoke no TLS. */
  | { readonly kind: 'handshakeRefused'; readonly sessionId: string; readonly cause: unknown }
  /** Bytes on the request pipe that are no request. Summed up: at most one such event a second. */
  | { readonly kind: 'junkDropped'; readonly droppedBytes: number; readonly droppedLines: number }
  /** A well-formed request that could not be served. */
  | { readonly kind: 'requestRefused'; readonly sessionId: string; readonly cause: unknown }
  | {
      readonly kind: 'called'
      readonly sessionId: string
      readonly method: WrapperMethod
      readonly tookMs: number
      /** What went wrong, in full; the host got less. */
      readonly failure?: { readonly code: string; readonly cause: unknown }
    }
  /** Something of ours failed behind the scenes; service goes on. */
  | { readonly kind: 'internalFailure'; readonly during: string; readonly cause: unknown }
