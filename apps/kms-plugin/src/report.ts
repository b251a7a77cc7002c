import { type Logger } from 'pino'
import { describeTrouble, type KeyLife } from '@sealwright/kms-v2'
import { createRepeatLimit, failureOf } from '@sealwright/json-log'
import { errorCodeOf } from '@sealwright/system-error'
import { type KeyringEvent } from '@sealwright/kms-backends'
import { type KmsServerFailure } from '@sealwright/kms-v2-server'
import { type WatchEvent } from './key-watch.ts'
import { type FoundState } from './state-file.ts'

/** How long the same failure stays unsaid after it was logged. */
const REPEAT_INTERVAL_MS = 60_000

/** Of a look that changed more versions of the key, so many are told, and the number of the others. */
const MAX_VERSIONS_TOLD = 10

/** Says what happens in words for operators, and the same thing not again and again. */
export interface PluginReporter {
  readonly watch: (event: WatchEvent) => void
  readonly stateFound: (found: FoundState) => void
  readonly stateNotWritten: (cause: unknown) => void
  /** A call of kube-apiserver that failed. */
  readonly callFailed: (method: string, cause: unknown) => void
  /** A bug of ours, or a connection that is no kube-apiserver's. */
  readonly serverFailed: (failure: KmsServerFailure) => void
  /** What the keyring and its seals do. */
  readonly keyring: (event: KeyringEvent) => void
  /** A bug of ours behind the status socket. */
  readonly statusFailed: (cause: unknown) => void
}

/** @param now - wall clock in milliseconds. */
export function pluginReporter(log: Logger, now: () => number): PluginReporter {
  const repeats = createRepeatLimit({ intervalMs: REPEAT_INTERVAL_MS, now })
  let isIll = false

  const logSeldom = (
    level: 'warn' | 'error',
    about: string,
    fields: Readonly<Record<string, unknown>>,
    message: string,
  ) => {
    const heldBack = repeats.admit(about)
    if (heldBack !== null) log[level](heldBack === 0 ? fields : { ...fields, heldBack }, message)
  }

  return {
    watch: event => {
      switch (event.kind) {
        case 'probe-passed':
          if (isIll) log.info('the backend works again')
          isIll = false
          repeats.clear('probe ')
          return
        case 'probe-failed':
          isIll = true
          logSeldom(
            'warn',
            `probe ${errorCodeOf(event.cause) ?? ''}`,
            reasonOf(event.cause),
            'the backend does not work',
          )
          return
        case 'probe-doubted':
          logSeldom('warn', 'probe doubted', {}, 'less of the key is there than is known: it is looked at again soon')
          return
        case 'newest-failed':
          logSeldom(
            'warn',
            'newest',
            { version: event.version, ...reasonOf(event.cause) },
            'the newest version of the key does not work',
          )
          return
        case 'life-changed':
          reportLife(log, event.before, event.life)
      }
    },
    stateFound: found => {
      switch (found.kind) {
        case 'none':
          log.info('nothing is remembered of the key: it is looked at anew')
          return
        case 'read':
          return
        case 'damaged':
          log.error({ ...failureOf(found.cause), movedTo: found.movedTo }, 'what was remembered of the key is damaged')
          return
        case 'unusable':
          log.error(
            failureOf(found.cause),
            'what was remembered of the key cannot be used, and is left alone: nothing new will be remembered',
          )
      }
    },
    stateNotWritten: cause => {
      logSeldom('error', 'state', failureOf(cause), 'what is known of the key cannot be remembered')
    },
    callFailed: (method, cause) => {
      logSeldom('warn', `call ${method} ${errorCodeOf(cause) ?? ''}`, { method, ...reasonOf(cause) }, 'call failed')
    },
    keyring: event => {
      switch (event.kind) {
        case 'opened': {
          const { kind, tookMs, ...fields } = event
          repeats.clear('seal ')
          repeats.clear('store')
          log.info({ ...fields, tookMs: Math.round(tookMs) }, `keyring ${kind}`)
          return
        }
        case 'seal-failed': {
          const { sealName: seal, failure } = event
          logSeldom(
            'warn',
            `seal ${seal} ${failure.code}`,
            { seal, code: failure.code, reason: failure.message },
            'seal failed',
          )
          return
        }
        case 'pin-refused':
          log.error({ seal: event.sealName, ...reasonOf(event.cause) }, 'PIN refused: mend its file, then send SIGHUP')
          return
        case 'store-not-taken':
          logSeldom(
            'error',
            'store',
            reasonOf(event.cause),
            'the store has changed and was not taken over: the next start is at risk',
          )
          return
        case 'store-taken':
          repeats.clear('store')
          log.info('the store has again the keyring that is in use')
          return
        case 'store-not-locked':
          logSeldom('error', 'lock', reasonOf(event.cause), 'the store cannot be locked')
          return
        case 'tended':
          log.info({ seals: event.sealNames }, 'seals have got the records that they lacked')
          return
        case 'not-tended':
          for (const [seal, { code, message: reason }] of event.failures) {
            logSeldom('warn', `not tended ${seal} ${code}`, { seal, code, reason }, 'seal not tended')
          }
          return
        case 'tending-failed':
          logSeldom('warn', 'tending', reasonOf(event.cause), 'seals not tended')
      }
    },
    statusFailed: cause => {
      logSeldom('error', 'status', failureOf(cause), 'the status socket failed')
    },
    serverFailed: failure => {
      switch (failure.kind) {
        case 'handlerFailed':
          logSeldom(
            'error',
            `bug ${failure.method}`,
            { method: failure.method, ...failureOf(failure.cause) },
            'a call ended in a bug',
          )
          return
        case 'connectionCut':
          logSeldom(
            'warn',
            `cut ${failure.fault}`,
            { fault: failure.fault, ...(failure.cause === undefined ? {} : reasonOf(failure.cause)) },
            'connection cut',
          )
          return
        case 'connectionRefused':
          logSeldom(
            'warn',
            'refused',
            { maxConnections: failure.maxSessions },
            'connection refused: there are too many, and all have calls under way',
          )
      }
    },
  }
}

function reportLife(log: Logger, before: KeyLife | null, life: KeyLife): void {
  const phasesBefore = new Map(before?.versions.map(({ version, phase }) => [version, phase]))
  const changed = life.versions.filter(({ version, phase }) => phasesBefore.get(version) !== phase)
  const older = changed.splice(0, Math.max(changed.length - MAX_VERSIONS_TOLD, 0))
  if (older.length > 0) log.info({ versions: older.length, upTo: older.at(-1)?.version }, 'older versions of the key')
  for (const { version, phase } of changed) {
    log.info({ version, phase, phaseBefore: phasesBefore.get(version) }, 'version of the key')
  }
  const trouble = describeTrouble(life.trouble)
  if (trouble !== null) log.error({ reason: trouble }, 'the key is not as it was')
  else if (before !== null && before.trouble !== null) log.info('the key is as it was')
}

/** Code and reason of an error, and of what is behind it: our own libraries' words, which hold no secret. */
function reasonOf(error: unknown): Readonly<Record<string, string>> {
  const behind = error instanceof Error ? error.cause : undefined
  return errorCodeOf(behind) === undefined || !(behind instanceof Error)
    ? failureOf(error)
    : { ...failureOf(error), behind: behind.message }
}
