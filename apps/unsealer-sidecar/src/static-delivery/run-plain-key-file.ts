import { setTimeout as delay } from 'node:timers/promises'
import { errorCodeOf } from '@sealwright/system-error'
import { failureOf } from '@sealwright/json-log'
import { type StaticDeliveryRun, untilOpened } from './delivery-run.ts'
import { StaticDeliveryError } from './errors.ts'
import { placeUnsafePlainKeyFile } from './plain-key-file.ts'

/** In which OpenBao sources its environment. */
const FILE_NAME = 'openbao.env'
/** Between looks at OpenBao, and between tries to get the key. */
const PAUSE_MS = 1_000
/** So often one after another OpenBao must be found in need of the key: one odd answer puts no key on show. */
const LOOKS = 3

/**
 * UNSAFE: has the key in plain in a file while OpenBao needs it, until `signal` is aborted.
 *
 * @throws {@link StaticDeliveryError} as `placeUnsafePlainKeyFile`, but for a key that there is not: there may be one later.
 */
export async function runPlainKeyFile(run: StaticDeliveryRun, signal: AbortSignal): Promise<void> {
  const { custody, log, openBaoNeed } = run
  log.warn({ file: FILE_NAME }, 'UNSAFE: the seal key will lie in a plain file whenever OpenBao is not unsealed')
  for (;;) {
    await untilOpened(custody, signal)
    for (let looks = 0; looks < LOOKS;) {
      looks = (await openBaoNeed(signal)) === 'key' ? looks + 1 : 0
      if (looks < LOOKS) await delay(PAUSE_MS, undefined, { signal })
    }
    await keepWhileNeeded(run, signal)
  }
}

async function keepWhileNeeded({ config, custody, openBaoNeed, log, append }: StaticDeliveryRun, signal: AbortSignal) {
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
    // No usable answer is no reason to take away what a server that starts may read next.
    while ((await openBaoNeed(signal)) !== 'nothing') await delay(PAUSE_MS, undefined, { signal })
    await placed[Symbol.asyncDispose]()
    log.info(about, 'plain key file removed')
    append({ kind: 'key-file-removed', file: FILE_NAME })
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof StaticDeliveryError && error.code !== 'STATIC_DELIVERY_KEY_UNKNOWN') throw error
    log.warn({ ...about, ...failureOf(error) }, 'no plain key file')
    append({ kind: 'key-delivery-failed', ...about, code: errorCodeOf(error) ?? 'unknown' })
    await delay(PAUSE_MS, undefined, { signal })
  }
}
