import { type Logger } from 'pino'
import { type NodeConfig } from '@sealwright/node-config'
import { type SealOperations } from '../control/operations.ts'
import { type LocalSeals } from '../local-seals.ts'
import { failureOf } from '@sealwright/json-log'
import { createLine } from '@sealwright/node-seals'

export interface ReloadDependencies {
  /** Reads and checks the file. What it throws keeps its code. */
  readonly loadConfig: () => Promise<NodeConfig>
  readonly seals: Pick<LocalSeals, 'configured' | 'replace'>
  /** What failed before is news again. */
  readonly startAfresh: () => void
  /** Seals that waited for an operator may be tried again. */
  readonly tryAgain: () => void
  /** Seals that lack records get them. */
  readonly tend: () => void
  readonly log: Pick<Logger, 'info' | 'error'>
}

/**
 * Reads the configuration anew, for SIGHUP and for the control API alike: one reading after another, each whole. Of it only the seals
 * and the id of the cluster are taken. A failure is logged, and leaves the seals as they were.
 *
 * @returns The operation; it throws what `loadConfig` throws.
 */
export function configReload(dependencies: ReloadDependencies): SealOperations['reload'] {
  const { loadConfig, seals, startAfresh, tryAgain, tend: ringForTending, log } = dependencies
  const inLine = createLine()
  return ({ tend }) =>
    inLine(async () => {
      startAfresh()
      try {
        const changes = await seals.replace(await loadConfig())
        log.info(changes, 'configuration read again')
        const enabled = seals.configured().filter(({ disabled }) => !disabled)
        return { ...changes, enabled: enabled.map(({ name }) => name) }
      } catch (error) {
        log.error(failureOf(error), 'configuration not read: going on with the one before')
        throw error
      } finally {
        tryAgain()
        if (tend) ringForTending()
        log.info('seals are tried again')
      }
    })
}
