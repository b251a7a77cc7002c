import { type UnaryLimits } from './grpc-unary/limits.ts'

/** Bounds of a {@link serveKmsV2} server. Every one can be set; the defaults suit the API servers of one node. */
export type KmsServerLimits = UnaryLimits

export const DEFAULT_LIMITS: KmsServerLimits = {
  maxSessions: 1024,
  maxConcurrentCalls: 256,
  // Of a Decrypt: a ciphertext, a key id and a uid of 1 KiB each at most, and 32 KiB of annotations.
  maxMessageBytes: 128 * 1024,
  bodyTimeoutMs: 5_000,
  // Some 4,000 calls at once, of 15 connections at least.
  maxCallBytes: 32 * 1024 * 1024,
  maxHeaderBytes: 16 * 1024,
  maxHeaderFields: 64,
  maxSessionMegabytes: 10,
  maxFramesBetweenCalls: 1000,
  prefaceTimeoutMs: 10_000,
}
