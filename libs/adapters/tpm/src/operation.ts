import { type Secret } from '@sealwright/secret'
import { HMAC_SESSION_FIRST, type RandomBytes, TRANSIENT_FIRST } from '@sealwright/tpm-wire'

import { type Channel, type TpmTransport, describeTransport, isManaged, openChannel } from './channel.ts'
import { readHandles } from './commands/capability.ts'
import { flushContext } from './commands/flush.ts'
import { TpmConnection } from './connection.ts'
import { type Deadline, startDeadline } from './deadline.ts'
import { TpmError, argumentError } from './errors.ts'
import { enterLane } from './lane.ts'

/** How to reach a TPM, and how long one whole operation on it may take. */
export type TpmAccess = {
  readonly transport: TpmTransport
  /** Limit of one operation, in milliseconds: waiting in line, connecting and every command together. */
  readonly timeoutMs: number
  /** Source of nonces and ephemeral keys: `crypto.randomBytes` outside tests. */
  readonly randomBytes: RandomBytes
  /** Authorisation value of the owner hierarchy, where one is set. */
  readonly ownerAuth?: Secret
}

/** A caller's signal: it ends our waiting, with `TPM_CANCELLED`. */
export type CallOptions = { readonly signal?: AbortSignal }

/** How long tidying up may take after an operation has ended, even when its own time is over. */
const CLEANUP_TIMEOUT_MS = 1_000

/**
 * Opens a connection, runs `use` on it, flushes all it has loaded, and closes it again.
 *
 * Operations on one TPM run one after another. `use` may be called a second time when all slots of an unmanaged TPM were taken by
 * leftovers of an interrupted run: these are flushed first.
 */
export async function withTpm<T>(
  access: TpmAccess,
  options: CallOptions,
  use: (tpm: TpmConnection) => Promise<T>,
): Promise<T> {
  if (!Number.isFinite(access.timeoutMs) || access.timeoutMs <= 0) {
    throw new TpmError('TPM_INVALID_ARGUMENT', `timeoutMs must be a positive number, not ${access.timeoutMs}`)
  }
  const deadline = startDeadline(access.timeoutMs, options.signal)
  const lane = await enterLane(describeTransport(access.transport), deadline)
  const channel = await openChannel(access.transport, deadline).catch((error: unknown) => {
    lane.release(lane)
    throw error
  })
  const mayFlush = !isManaged(access.transport)
  let mayHoldLeftovers = lane.mayHoldLeftovers
  try {
    if (mayHoldLeftovers) await flushLeftovers(channel, deadline, access.randomBytes)
    let outcome = await attemptOn(channel, deadline, access.randomBytes, use)
    if (mayFlush && isNoSpace(outcome) && channel.isUsable()) {
      await flushLeftovers(channel, deadline, access.randomBytes)
      outcome = await attemptOn(channel, deadline, access.randomBytes, use)
    }
    mayHoldLeftovers = mayFlush && !outcome.isClean
    if (outcome.kind === 'failed') throw outcome.error
    return outcome.value
  } finally {
    const mustNotWait = !channel.isUsable()
    const free = () => {
      lane.release({ mayHoldLeftovers })
    }
    // A device that hangs is let go of only when it answers: until then nobody else may try, but our caller need not wait.
    const closed = channel.close().then(free, free)
    if (!mustNotWait) await closed
  }
}

/** `isClean`: nothing of ours is left in the TPM. */
type Outcome<T> = { readonly isClean: boolean } & (
  { readonly kind: 'done'; readonly value: T } | { readonly kind: 'failed'; readonly error: unknown }
)

async function attemptOn<T>(
  channel: Channel,
  deadline: Deadline,
  randomBytes: RandomBytes,
  use: (tpm: TpmConnection) => Promise<T>,
): Promise<Outcome<T>> {
  const tpm = new TpmConnection(channel, deadline, randomBytes)
  try {
    const value = await use(tpm)
    return { kind: 'done', value, isClean: await flushHeld(tpm, channel) }
  } catch (error) {
    return { kind: 'failed', error: argumentError(error), isClean: await flushHeld(tpm, channel) }
  } finally {
    tpm.wipe()
  }
}

/** Flushes what an operation holds, newest first. Never throws: the operation's own result matters more. */
async function flushHeld(tpm: TpmConnection, channel: Channel): Promise<boolean> {
  // An interrupted command may have left a handle in the TPM that we have not heard of.
  if (!channel.isUsable()) return false
  const cleanup = startDeadline(CLEANUP_TIMEOUT_MS)
  try {
    for (const handle of tpm.held.toReversed()) await flushContext(tpm, handle, cleanup)
    return true
  } catch {
    return false
  }
}

/** Flushes every transient object and loaded session of a TPM that nobody else manages. */
async function flushLeftovers(channel: Channel, deadline: Deadline, randomBytes: RandomBytes): Promise<void> {
  const tpm = new TpmConnection(channel, deadline, randomBytes)
  for (const first of [TRANSIENT_FIRST, HMAC_SESSION_FIRST]) {
    for (const handle of await readHandles(tpm, first)) await flushContext(tpm, handle)
  }
}

function isNoSpace(outcome: Outcome<unknown>): boolean {
  return outcome.kind === 'failed' && outcome.error instanceof TpmError && outcome.error.code === 'TPM_NO_SPACE'
}
