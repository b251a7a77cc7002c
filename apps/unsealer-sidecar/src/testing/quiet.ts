import { pino } from 'pino'
import { type AgentReporter, agentReporter } from '../report/log.ts'
import { type AgentMetrics } from '../report/metrics.ts'

/** A reporter that says nothing. */
export function quietReporter(): AgentReporter {
  return agentReporter(pino({ level: 'silent' }), Date.now)
}

/** Metrics that count nothing: the real ones watch the whole process. */
export function quietMetrics(): AgentMetrics {
  return {
    contentType: 'text/plain',
    text: () => Promise.resolve(''),
    countAttempt: () => undefined,
    countPluginEvent: () => undefined,
    setOpen: () => undefined,
    setSessions: () => undefined,
    setKeyring: () => undefined,
    setKeyringRefused: () => undefined,
  }
}
