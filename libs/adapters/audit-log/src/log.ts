import {
  type AuditEvent,
  assertCheckpointKey,
  checkEvent,
  type CheckpointKey,
  type ChainPosition,
} from '@sealwright/audit'
import { encodeBatch } from './batch.ts'
import { AuditLogError, writeFailure } from './errors.ts'
import { type LogFolder, openLogFolder } from './folder.ts'
import { type Retry, retryTimer } from './retry.ts'
import { waitingRoom } from './waiting-room.ts'
import { type LogWriter, openWriter, type WriteStep } from './writer.ts'

export interface AuditLogOptions {
  /** Made, with mode 0700, if it is missing; the folder above must exist. One writer at a time: the caller sees to that. */
  readonly directory: string
  /** Name of this node, in each line. */
  readonly node: string
  /** Wall clock in milliseconds. */
  readonly now: () => number
  /** Told of each failure. The log goes on by itself; nothing is thrown at whoever appends. */
  readonly onFailure: (error: AuditLogError) => void
  /** A segment of this size gets no further lines. 16 MiB by default. */
  readonly segmentMaxBytes?: number
  /** Most events that wait for the disk. 4,096 by default; what comes on top is lost, and the loss becomes a line. */
  readonly maxWaitingEvents?: number
  /** Pause after a failure: the first, doubled each time up to the longest. 1 s and 60 s by default. */
  readonly retryMs?: { readonly first: number; readonly longest: number }
}

/** What {@link AuditLog.flush} came to. */
export type FlushOutcome =
  { readonly kind: 'written'; readonly last: ChainPosition } | { readonly kind: 'waiting'; readonly events: number }

/** An audit log that is open for writing. Disposing of it writes what waits, once more, and closes it. */
export interface AuditLog extends AsyncDisposable {
  /** Takes an event and returns at once; it reaches the disk later. Never throws. */
  append(event: AuditEvent): void
  /**
   * Writes a checkpoint under this key at once, and then again and again as lines are added; no longer with `undefined`.
   *
   * @throws {@link AuditError} `AUDIT_CHECKPOINT_KEY_INVALID`.
   */
  setCheckpointKey(checkpointKey: CheckpointKey | undefined): void
  /** Tries to write what waits, and says whether it is on the disk. */
  flush(): Promise<FlushOutcome>
}

const SEGMENT_MAX_BYTES = 16 * 1024 * 1024
const MAX_WAITING_EVENTS = 4096
const RETRY_MS = { first: 1000, longest: 60_000 }
/** A checkpoint comes after so many lines, or with the first line after so long. */
const CHECKPOINT_EVERY_LINES = 32
const CHECKPOINT_EVERY_MS = 60_000

/**
 * Opens the audit log of a node. Opening goes on behind the scenes, as writing does: a disk that does not work is told to
 * `onFailure`, and tried again.
 */
export function openAuditLog(options: AuditLogOptions): AuditLog {
  return startAuditLog(options, () => undefined)
}

/** As {@link openAuditLog}; `onStep` is told how far each write has come. */
export function startAuditLog(options: AuditLogOptions, onStep: (step: WriteStep) => void): AuditLog {
  const { directory, node, now, onFailure } = options
  const segmentMaxBytes = options.segmentMaxBytes ?? SEGMENT_MAX_BYTES
  const waiting = waitingRoom(options.maxWaitingEvents ?? MAX_WAITING_EVENTS)
  const retry: Retry = retryTimer(options.retryMs ?? RETRY_MS, () => {
    void drain()
  })
  let folder: LogFolder | undefined
  let writer: LogWriter | undefined
  /** Positions of lines that were given to the disk when it failed: they may be there. */
  let inDoubt: readonly ChainPosition[] = []
  let draining: Promise<void> | undefined
  let checkpointKey: CheckpointKey | undefined
  let linesSinceCheckpoint = 0
  let lastCheckpointAtMs = 0
  let isClosed = false
  let isFull = false

  async function open(): Promise<LogWriter> {
    folder ??= await openLogFolder(directory, { create: true })
    const opened = await openWriter(folder, { timeMs: now(), node }, onStep)
    const { tail } = opened
    if (tail.kind === 'broken') {
      onFailure(
        new AuditLogError(
          'AUDIT_LOG_BROKEN',
          `the audit log in ${directory} was not as its writer left it; it goes on in a new segment: run "sealctl audit verify" and find out who changed it`,
        ),
      )
    }
    // What a failed write got to the disk must not be written twice.
    const last = tail.kind === 'empty' ? undefined : tail.last
    const known = inDoubt.findIndex(({ sequence, hash }) => sequence === last?.sequence && hash === last.hash)
    waiting.release(known + 1, now())
    inDoubt = []
    return opened.writer
  }

  async function writeAll(): Promise<void> {
    writer ??= await open()
    while (!waiting.isEmpty()) {
      if (writer.sizeBytes() >= segmentMaxBytes) await writer.rotate({ timeMs: now(), node })
      const lines = encodeBatch(waiting, writer.position(), node)
      inDoubt = lines
      await writer.write(lines)
      inDoubt = []
      waiting.release(lines.length, now())
    }
    isFull = false
    retry.succeeded()
  }

  async function writeOrWait(): Promise<void> {
    try {
      await writeAll()
    } catch (cause) {
      await closeFiles()
      onFailure(cause instanceof AuditLogError ? cause : writeFailure(directory, cause))
      if (!isClosed) retry.failed()
    }
  }

  /** Never rejects; one run at a time. */
  async function drain(): Promise<void> {
    draining ??= writeOrWait().finally(() => {
      draining = undefined
      // What came while the run was about to end.
      if (!waiting.isEmpty() && !isClosed) drainUnlessPaused()
    })
    await draining
  }

  async function closeFiles(): Promise<void> {
    const [closingWriter, closingFolder] = [writer, folder]
    writer = undefined
    folder = undefined
    // Lines were synced before; a close that fails has nothing to add.
    await Promise.allSettled([closingWriter?.[Symbol.asyncDispose](), closingFolder?.[Symbol.asyncDispose]()])
  }

  function drainUnlessPaused(): void {
    if (draining === undefined && !retry.isWaiting()) void drain()
  }

  function addCheckpoint(): void {
    if (checkpointKey === undefined) return
    const timeMs = now()
    if (!waiting.add({ kind: 'checkpoint', checkpointKey, timeMs })) return
    linesSinceCheckpoint = 0
    lastCheckpointAtMs = timeMs
  }

  function take(event: AuditEvent, timeMs: number): void {
    if (waiting.add({ kind: 'event', event: checkEvent(event), timeMs })) {
      linesSinceCheckpoint += 1
      const isDue = timeMs - lastCheckpointAtMs >= CHECKPOINT_EVERY_MS
      if (isDue || linesSinceCheckpoint >= CHECKPOINT_EVERY_LINES) addCheckpoint()
      return
    }
    // Told once: the disk has been told of already, and the count becomes a line.
    if (isFull) return
    isFull = true
    onFailure(
      new AuditLogError(
        'AUDIT_LOG_EVENTS_LOST',
        `the audit log in ${directory} waits for the disk with ${waiting.count()} events: further ones are only counted`,
      ),
    )
  }

  drainUnlessPaused()

  return {
    append(event) {
      if (isClosed) {
        onFailure(new AuditLogError('AUDIT_LOG_CLOSED', `an event "${event.kind}" came after the audit log was closed`))
        return
      }
      const timeMs = now()
      try {
        take(event, timeMs)
      } catch (cause) {
        waiting.countLost(timeMs)
        onFailure(
          new AuditLogError('AUDIT_LOG_EVENT_REFUSED', 'an event does not go into a line: report this bug', { cause }),
        )
      }
      drainUnlessPaused()
    },
    setCheckpointKey(key) {
      if (key !== undefined) assertCheckpointKey(key)
      checkpointKey = key
      addCheckpoint()
      drainUnlessPaused()
    },
    async flush() {
      retry.cancel()
      await drain()
      while (draining !== undefined) await drain()
      if (waiting.count() > 0 || writer === undefined) return { kind: 'waiting', events: waiting.count() }
      return { kind: 'written', last: writer.position() }
    },
    async [Symbol.asyncDispose]() {
      if (isClosed) return
      if (linesSinceCheckpoint > 0) addCheckpoint()
      isClosed = true
      await draining
      retry.cancel()
      if (!waiting.isEmpty()) await drain()
      await closeFiles()
    },
  }
}
