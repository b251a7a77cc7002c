import { type Logger } from 'pino'
import { createRepeatLimit, failureOf } from '@sealwright/json-log'
import { type SealPluginEvent } from '@sealwright/seal-plugin'
import { type SealAttempt, type SealFailure } from '@sealwright/unseal'
import { errorCodeOf } from '@sealwright/system-error'
import { type CustodyErrorCode } from '../keyring/custody-error.ts'
import { type RefusedKeyring } from '../openbao/leader-key.ts'

/** How long the same failure stays unsaid after it was logged. */
const REPEAT_INTERVAL_MS = 60_000

/** Says what happens in words for operators, and the same thing not again and again. */
export interface AgentReporter {
  /** One try of one seal. */
  attempt(attempt: SealAttempt): void
  /** What happens between OpenBao and the agent; calls that went well are left to the metrics. */
  pluginEvent(event: SealPluginEvent): void
  /** Something of ours that should not have happened; the agent goes on. */
  internalFailure(during: string, cause: unknown): void
  /** A keyring that came with a blob was not taken. */
  keyringRefused(cause: unknown): void
  /**
   * The seals were looked after, but for these, by name, which could not be given the records that they lack. Each is told once, until it
   * fails in another way: some stay so for years, such as one that was revoked.
   */
  sealsLookedAfter(failures: ReadonlyMap<string, SealFailure>): void
  /** The leader encrypts under a key that is not held here, or its keyring shuts this node out. */
  leaderKeyRefused(refused: RefusedKeyring): void
  /** The audit log cannot be written now. */
  auditNotWritten(cause: unknown): void
  /** The leader could not be asked for its keyring. */
  leaderNotAsked(cause: unknown): void
  /** What was learned is not in the store yet. */
  keyringNotStored(cause: unknown): void
  /** The next failure is news again, whatever was said before: an operator looks. */
  startAfresh(): void
}

/**
 * @param now - wall clock in milliseconds.
 */
export function agentReporter(log: Logger, now: () => number): AgentReporter {
  const repeats = createRepeatLimit({ intervalMs: REPEAT_INTERVAL_MS, now })

  /** What was said last of seals that could not be looked after: their codes, by name. */
  let notTended: ReadonlyMap<string, string> = new Map()

  /** @param about - what is failing, from a closed list: the same again within the interval is only counted. */
  const logSeldom = (
    level: 'warn' | 'error',
    about: string,
    fields: Readonly<Record<string, unknown>>,
    message: string,
  ): void => {
    const heldBack = repeats.admit(about)
    if (heldBack === null) return
    log[level](heldBack === 0 ? fields : { ...fields, heldBack }, message)
  }

  const internalFailure = (during: string, cause: unknown): void => {
    logSeldom('error', `internal ${during}`, { during, ...failureOf(cause) }, 'internalFailure')
  }

  return {
    internalFailure,
    keyringRefused(cause) {
      logSeldom('warn', `refused ${errorCodeOf(cause) ?? ''}`, failureOf(cause), 'keyring from OpenBao refused')
    },
    sealsLookedAfter(failures) {
      for (const [seal, { code, message }] of failures) {
        if (notTended.get(seal) !== code) log.warn({ seal, code, reason: message }, 'seal not tended')
      }
      notTended = new Map([...failures].map(([seal, { code }]) => [seal, code]))
    },
    leaderKeyRefused({ keyId, code, message }) {
      log.error(
        { keyId, code, reason: message },
        code === ('CUSTODY_SHUT_OUT' satisfies CustodyErrorCode)
          ? 'the keyring of the leader shuts this node out: after the next rotation OpenBao would stay sealed here'
          : 'the leader encrypts under a key that this node does not have: after a restart OpenBao would stay sealed here',
      )
    },
    auditNotWritten(cause) {
      logSeldom('error', `audit ${errorCodeOf(cause) ?? ''}`, failureOf(cause), 'audit log not written')
    },
    leaderNotAsked(cause) {
      logSeldom('warn', `not learned ${errorCodeOf(cause) ?? ''}`, failureOf(cause), 'leader not asked for its keyring')
    },
    keyringNotStored(cause) {
      logSeldom('warn', `not stored ${errorCodeOf(cause) ?? ''}`, failureOf(cause), 'keyring not stored')
    },
    startAfresh: () => {
      repeats.clear()
      notTended = new Map()
    },
    attempt(attempt) {
      const tookMs = Math.round(attempt.tookMs * 10) / 10
      switch (attempt.kind) {
        case 'opened':
          repeats.clear(`seal ${attempt.sealName} `)
          log.info({ seal: attempt.sealName, tookMs }, 'seal unwrapped')
          return
        case 'failed': {
          const { code, kind, message } = attempt.failure
          logSeldom(
            'warn',
            `seal ${attempt.sealName} ${code}`,
            { seal: attempt.sealName, tookMs, code, kind, reason: message },
            'seal failed',
          )
        }
      }
    },
    pluginEvent(event) {
      const { kind, ...fields } = event
      switch (kind) {
        case 'sessionOpened':
        case 'hostConnected':
        case 'sessionEnded':
          log.info(fields, kind)
          return
        case 'called': {
          if (event.failure === undefined) return
          const { method, sessionId, failure } = event
          // Anybody without a token can make `Encrypt` fail as often as they like: that must not fill a disk.
          logSeldom(
            'warn',
            `call ${method} ${failure.code}`,
            { method, sessionId, ...failureOf(failure.cause), code: failure.code },
            'call failed',
          )
          return
        }
        case 'secondLiveSession':
        case 'junkDropped':
          log.warn(fields, kind)
          return
        case 'handshakeRefused':
        case 'requestRefused':
          logSeldom('warn', kind, { sessionId: event.sessionId, ...failureOf(event.cause) }, kind)
          return
        case 'internalFailure':
          internalFailure(event.during, event.cause)
      }
    },
  }
}
