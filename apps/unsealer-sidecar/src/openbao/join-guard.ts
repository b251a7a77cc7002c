import { setTimeout as delay } from 'node:timers/promises'
import { SealServiceRefusal } from '@sealwright/seal-plugin'

/**
 * Length of what OpenBao 2.7.2 has its seal encrypt as a challenge for a node that joins, in bytes. Nothing else that it
 * encrypts is of this length: the root key comes in 48 or more, a recovery key in 32, a probe in 1 or 13.
 */
export const JOIN_CHALLENGE_BYTES = 24

/** An OpenBao that was not there yet when its first call came is asked again so often. */
const ASK_AGAIN_MS = 50
/** Until then an answer must have come. OpenBao repeats a refused `Decrypt` after 5 s. */
const ASK_TIMEOUT_MS = 3_000
/** How often a server that joins is asked whether it is done. */
const JOIN_POLL_MS = 200
/** A server needs about 4 s from its challenge to the end of joining. */
const JOIN_TIMEOUT_MS = 60_000

/** `unknown`: no usable answer; the reason says why, for OpenBao's log. */
export type Membership =
  | { readonly kind: 'initialised' }
  | { readonly kind: 'uninitialised' }
  | { readonly kind: 'unknown'; readonly reason: string }

/** Keeps plaintexts from an OpenBao that is no member of a cluster yet. */
export interface JoinGuard {
  /**
   * Returns if a plaintext may be handed to OpenBao.
   *
   * @throws {@link SealServiceRefusal} `SEAL_NOT_INITIALISED`, `SEAL_OPENBAO_UNKNOWN`.
   */
  admit(plaintextBytes: number, signal: AbortSignal): Promise<void>
}

/**
 * Guards against a stranger who makes OpenBao decrypt for them.
 *
 * An OpenBao without data joins whatever cluster anybody tells it to (`sys/storage/raft/join` takes no token), has its seal
 * decrypt the challenge of that cluster's leader, and sends the plaintext back to it. It does not look at what it decrypts. So
 * the blob of the root key, out of any snapshot, would come back in plain to somebody who only pretends to be a leader.
 * Therefore, while OpenBao is not initialised, only a plaintext of a challenge's length leaves the agent.
 *
 * A call is judged by what OpenBao was before it came: were a server that joins in earnest to become initialised just
 * while a stranger's call waits, then its answer would come too late for that call. OpenBao repeats an honest one.
 */
export function joinGuard(dependencies: {
  /** Asks the OpenBao beside this agent. */
  readonly ask: (signal: AbortSignal) => Promise<Membership>
  readonly steadyNow: () => number
  /** Ends with the agent. */
  readonly signal: AbortSignal
}): JoinGuard {
  const { ask, steadyNow, signal: agentSignal } = dependencies
  /** A challenge was decrypted, or OpenBao said that it has no data; and it has not said otherwise since. */
  let isJoining = false
  /** Tells whether a challenge came while a question was on its way. */
  let challenges = 0
  let isWatching = false

  const watchJoin = async (): Promise<void> => {
    const giveUpAtMs = steadyNow() + JOIN_TIMEOUT_MS
    while (isJoining && steadyNow() < giveUpAtMs) {
      await delay(JOIN_POLL_MS, undefined, { signal: agentSignal })
      const before = challenges
      const { kind } = await ask(agentSignal)
      if (kind === 'initialised' && challenges === before) isJoining = false
    }
  }

  const startWatching = (): void => {
    isJoining = true
    if (isWatching) return
    isWatching = true
    void watchJoin()
      // It only spares an honest server a repeated call, which asks by itself. The agent ends, or OpenBao cannot be asked.
      .catch(() => undefined)
      .finally(() => {
        isWatching = false
      })
  }

  /** While OpenBao starts, its listener may be later than its first call. */
  const askUntilAnswered = async (signal: AbortSignal): Promise<Membership> => {
    const giveUpAtMs = steadyNow() + ASK_TIMEOUT_MS
    for (;;) {
      const membership = await ask(signal)
      if (membership.kind !== 'unknown' || steadyNow() > giveUpAtMs) return membership
      await delay(ASK_AGAIN_MS, undefined, { signal })
    }
  }

  return {
    async admit(plaintextBytes, signal) {
      if (plaintextBytes === JOIN_CHALLENGE_BYTES) {
        challenges += 1
        startWatching()
        return
      }
      const wasJoining = isJoining
      const before = challenges
      const membership = await askUntilAnswered(signal)
      switch (membership.kind) {
        case 'initialised':
          if (!wasJoining && challenges === before) return
          if (challenges === before) isJoining = false
          throw notInitialised('was not initialised when it asked, and asks again by itself')
        case 'uninitialised':
          isJoining = true
          throw notInitialised(
            'is not initialised: it gets nothing decrypted but a challenge for joining. Unless it just joins, somebody tries to ' +
              "read a blob of the cluster's storage through it: see SECURITY.md",
          )
        case 'unknown':
          throw new SealServiceRefusal(
            'SEAL_OPENBAO_UNKNOWN',
            `nothing is decrypted before the agent knows that OpenBao is initialised: ${membership.reason}`,
          )
      }
    },
  }
}

function notInitialised(what: string): SealServiceRefusal {
  return new SealServiceRefusal('SEAL_NOT_INITIALISED', `this OpenBao ${what}`)
}
