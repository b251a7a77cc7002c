import { type AuditEvent } from '@sealwright/audit'
import { errorCodeOf } from '@sealwright/system-error'
import { type Logger } from 'pino'
import { failureOf } from '@sealwright/json-log'
import { type StaticDeliveryRun, untilOpened } from './delivery-run.ts'
import { type StaticDeliveryEvent } from './events.ts'
import { runPlainKeyFile } from './run-plain-key-file.ts'
import { serveStaticDelivery } from './serve.ts'

/**
 * Delivers seal keys as the configuration says, until `signal` is aborted.
 *
 * @throws {@link StaticDeliveryError} any of its codes, before a pipe is served.
 */
export async function runStaticDelivery(run: StaticDeliveryRun, signal: AbortSignal): Promise<void> {
  const { config, custody, log, append } = run
  if (config.unsafePlainKeyFile) {
    await runPlainKeyFile(run, signal)
    return
  }
  const { directory, groupId, current, previous } = config
  const { ended } = await serveStaticDelivery({
    ...{ directory, signal },
    ...(groupId === undefined ? {} : { groupId }),
    deliveries: [
      { fileName: 'current.fifo', keyId: current },
      ...(previous === undefined ? [] : [{ fileName: 'previous.fifo', keyId: previous }]),
    ],
    untilOpen: openSignal => untilOpened(custody, openSignal),
    unwrapKey: (keyId, unwrapSignal) => custody.sealKey(keyId, unwrapSignal),
    onEvent: event => {
      note(event, log, append)
    },
    steadyNow: () => performance.now(),
  })
  await ended
}

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
