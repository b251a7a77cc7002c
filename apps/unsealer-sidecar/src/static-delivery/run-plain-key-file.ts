import { setTimeout as delay } from 'node:timers/promises'
import { errorCodeOf } from '@sealwright/system-error'
import { failureOf } from '../report/log.ts'
import { type StaticDeliveryRun, untilOpened } from './delivery-run.ts'
import { StaticDeliveryError } from './errors.ts'
import { placeUnsafePlainKeyFile } from './plain-key-file.ts'

/** In which OpenBao sources its environment. */
const FILE_NAME = 'openbao.env'
/** Between looks at OpenBao, and between tries to get the key. */
const PAUSE_MS = 1_000

/**
 * UNSAFE: has the key in plain in a file while OpenBao is not unsealed, until `signal` is aborted.
 *
 * @throws {@link StaticDeliveryError} as `placeUnsafePlainKeyFile`.
 */
export async function runPlainKeyFile(run: StaticDeliveryRun, signal: AbortSignal): Promise<void> {
  const { log } = run
  log.warn({ file: FILE_NAME }, 'UNSAFE: the seal key will lie in a plain file whenever OpenBao is not unsealed')
  for (;;) {
    await untilOpened(run.custody, signal)
    while (await run.isUnsealed(signal)) await delay(PAUSE_MS, undefined, { signal })
    await keepWhileSealed(run, signal)
  }
}

async function keepWhileSealed({ config, custody, isUnsealed, log, append }: StaticDeliveryRun, signal: AbortSignal) {
  const { directory, groupId, current, previous } = config
  const about = { file: FILE_NAME, keyId: current }
  try {
    await using placed = await placeUnsafePlainKeyFile({
      ...{ directory, fileName: FILE_NAME, current, signal },
      ...(previous === undefined ? {} : { previous }),
      ...(groupId === undefined ? {} : { groupId }),
      unwrapKey: (keyId, unwrapSignal) => custody.sealKey(keyId, unwrapSignal),
    })
    log.warn(about, 'UNSAFE: the seal key lies in a plain file')
    append({ kind: 'key-file-written', ...about })
    while (!(await isUnsealed(signal))) await delay(PAUSE_MS, undefined, { signal })
    await placed[Symbol.asyncDispose]()
    log.info(about, 'plain key file removed')
    append({ kind: 'key-file-removed', file: FILE_NAME })
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof StaticDeliveryError) throw error
    log.warn({ ...about, ...failureOf(error) }, 'no plain key file')
    append({ kind: 'key-delivery-failed', ...about, code: errorCodeOf(error) ?? 'unknown' })
    await delay(PAUSE_MS, undefined, { signal })
  }
}
