import { type AuditEvent } from '@sealwright/audit'
import { type AgentConfig } from '@sealwright/node-config'
import { type Logger } from 'pino'
import { type Custody } from '../keyring/custody.ts'

/** What a delivery needs of the agent that it is part of. */
export interface StaticDeliveryRun {
  readonly config: NonNullable<AgentConfig['staticDelivery']>
  readonly custody: Custody
  readonly log: Logger
  readonly append: (event: AuditEvent) => void
  /**
   * What OpenBao needs: `key` if it says that it is sealed or empty, or nobody listens there; `nothing` if it is unsealed; `unknown` if
   * there was no usable answer.
   */
  readonly openBaoNeed: (signal: AbortSignal) => Promise<'key' | 'nothing' | 'unknown'>
}

const OPENING_WAIT_MS = 60_000

/** Returns once a seal has opened. */
export async function untilOpened({ holder }: Pick<Custody, 'holder'>, signal: AbortSignal): Promise<void> {
  while (holder.held() === undefined) {
    signal.throwIfAborted()
    await holder.waitForKey(OPENING_WAIT_MS, signal)
  }
}
