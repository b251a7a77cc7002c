import { type AuditEvent } from '@sealwright/audit'
import { type AgentConfig } from '@sealwright/node-config'
import { errorCodeOf } from '@sealwright/system-error'
import { type Logger } from 'pino'
import { type Custody } from '../keyring/custody.ts'
import { failureOf } from '../report/log.ts'
import { type StaticDeliveryEvent } from './events.ts'
import { serveStaticDelivery } from './serve.ts'

export interface StaticDeliveryRun {
  readonly config: NonNullable<AgentConfig['staticDelivery']>
  readonly custody: Custody
  readonly log: Logger
  readonly append: (event: AuditEvent) => void
}

/**
 * Delivers seal keys as the configuration says, until `signal` is aborted.
 *
 * @throws {@link StaticDeliveryError} any of its codes, before a pipe is served.
 */
export async function runStaticDelivery(
  { config, custody, log, append }: StaticDeliveryRun,
  signal: AbortSignal,
): Promise<void> {
  const { directory, groupId, current, previous } = config
  const { ended } = await serveStaticDelivery({
    ...{ directory, signal },
    ...(groupId === undefined ? {} : { groupId }),
    deliveries: [
      { fileName: 'current.fifo', keyId: current },
      ...(previous === undefined ? [] : [{ fileName: 'previous.fifo', keyId: previous }]),
    ],
    untilOpen: async openSignal => {
      while (custody.holder.held() === undefined) {
        openSignal.throwIfAborted()
        await custody.holder.waitForKey(OPENING_WAIT_MS, openSignal)
      }
    },
    unwrapKey: (keyId, unwrapSignal) => custody.sealKey(keyId, unwrapSignal),
    onEvent: event => {
      note(event, log, append)
    },
    steadyNow: () => performance.now(),
  })
  await ended
}

const OPENING_WAIT_MS = 60_000

function note(event: StaticDeliveryEvent, log: Logger, append: (event: AuditEvent) => void): void {
  const { kind, fileName: file, keyId } = event
  switch (kind) {
    case 'delivered':
      log.info({ file, keyId, waitedMs: Math.round(event.waitedMs) }, 'seal key delivered')
      append({ kind: 'key-delivered', file, keyId })
      return
    case 'readerCame':
    case 'readerLeft':
      log.info({ file, keyId }, kind)
      return
    case 'keyUnknown':
      log.error({ file, keyId }, 'the keyring has no such key: the reader got an empty file')
      append({ kind: 'key-delivery-failed', file, keyId, code: 'KEYRING_KEY_UNKNOWN' })
      return
    case 'unwrapFailed':
    case 'pipeFailed':
      log.warn({ file, keyId, ...failureOf(event.cause) }, kind)
      append({ kind: 'key-delivery-failed', file, keyId, code: errorCodeOf(event.cause) ?? 'unknown' })
  }
}
