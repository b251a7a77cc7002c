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
  /** Whether OpenBao says that it is unsealed. No answer is no. */
  readonly isUnsealed: (signal: AbortSignal) => Promise<boolean>
}

const OPENING_WAIT_MS = 60_000

/** Returns once a seal has opened. */
export async function untilOpened({ holder }: Pick<Custody, 'holder'>, signal: AbortSignal): Promise<void> {
  while (holder.held() === undefined) {
    signal.throwIfAborted()
    await holder.waitForKey(OPENING_WAIT_MS, signal)
  }
}
