import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { type SealPluginEvent } from '@sealwright/seal-plugin'
import { type SealAttempt } from '@sealwright/unseal'
import { type KeyringNumbers } from './keyring-metrics.ts'

/** What `/metrics` shows. Labels hold names and codes, never paths or ids of keys. */
export interface AgentMetrics {
  readonly contentType: string
  /** The Prometheus text form of all metrics. */
  text(): Promise<string>
  countAttempt(attempt: SealAttempt): void
  countPluginEvent(event: SealPluginEvent): void
  setOpen(isOpen: boolean, generation: number): void
  setSessions(openSessions: number): void
  setKeyring(numbers: KeyringNumbers): void
  setKeyringRefused(isRefused: boolean): void
}

const MS_PER_SECOND = 1_000
const UNWRAP_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** @param now - wall clock in milliseconds, for the time of the last real unwrap. */
export function agentMetrics(now: () => number): AgentMetrics {
  const registry = new Registry()
  const registers = [registry]
  const bySeal = { labelNames: ['seal'] as const, registers }
  collectDefaultMetrics({ register: registry })
  const open = new Gauge({ name: 'sealwright_open', help: '1 while a seal key is in memory', registers })
  const generation = new Gauge({
    name: 'sealwright_keyring_generation',
    help: 'Generation of the current seal key',
    registers,
  })
  const sessions = new Gauge({ name: 'sealwright_sessions', help: 'Connected OpenBao servers', registers })
  const attempts = new Counter({
    name: 'sealwright_seal_attempts_total',
    help: 'Real unwraps tried, by seal and result',
    labelNames: ['seal', 'result'] as const,
    registers,
  })
  const failures = new Counter({
    name: 'sealwright_seal_failures_total',
    help: 'Real unwraps that failed, by seal and code',
    labelNames: ['seal', 'code'] as const,
    registers,
  })
  const duration = new Histogram({
    name: 'sealwright_seal_unwrap_seconds',
    help: 'How long a real unwrap took, by seal',
    ...bySeal,
    buckets: UNWRAP_BUCKETS_SECONDS,
  })
  const lastUnwrap = new Gauge({
    name: 'sealwright_seal_last_unwrap_timestamp_seconds',
    help: 'When a real unwrap last succeeded, by seal',
    ...bySeal,
  })
  const activeGenerations = new Gauge({
    name: 'sealwright_keyring_active_generations',
    help: 'Generations of the seal key that blobs may name; more than 1 while a rotation is not finished',
    registers,
  })
  const lag = new Gauge({
    name: 'sealwright_seal_generation_lag',
    help: 'Generations that the member of a seal that is furthest behind has to climb',
    ...bySeal,
  })
  const exposed = new Gauge({
    name: 'sealwright_seal_quantum_exposed_records',
    help: 'Records made by RSA or elliptic curves alone, which a quantum computer could open from a copy',
    ...bySeal,
  })
  const refused = new Gauge({
    name: 'sealwright_keyring_refused',
    help: '1 while the leader of OpenBao encrypts under a key that this node does not have, since its keyring was refused here',
    registers,
  })
  const calls = new Counter({
    name: 'sealwright_plugin_calls_total',
    help: 'Calls of OpenBao, by method and result',
    labelNames: ['method', 'result'] as const,
    registers,
  })
  const events = new Counter({
    name: 'sealwright_plugin_events_total',
    help: 'What happened on the way between OpenBao and the agent, by kind',
    labelNames: ['kind'] as const,
    registers,
  })
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    countAttempt(attempt) {
      const seal = attempt.sealName
      attempts.inc({ seal, result: attempt.kind })
      switch (attempt.kind) {
        case 'opened':
          duration.observe({ seal }, attempt.tookMs / MS_PER_SECOND)
          lastUnwrap.set({ seal }, now() / MS_PER_SECOND)
          break
        case 'failed':
          failures.inc({ seal, code: attempt.failure.code })
          break
      }
    },
    countPluginEvent(event) {
      if (event.kind === 'called') calls.inc({ method: event.method, result: event.failure?.code ?? 'ok' })
      else events.inc({ kind: event.kind })
    },
    setOpen(isOpen, currentGeneration) {
      open.set(isOpen ? 1 : 0)
      generation.set(currentGeneration)
    },
    setKeyring(numbers) {
      activeGenerations.set(numbers.activeGenerations)
      lag.reset()
      exposed.reset()
      for (const [seal, generations] of numbers.lagBySeal) lag.set({ seal }, generations)
      for (const [seal, records] of numbers.quantumExposedBySeal) exposed.set({ seal }, records)
    },
    setKeyringRefused(isRefused) {
      refused.set(isRefused ? 1 : 0)
    },
    setSessions(openSessions) {
      sessions.set(openSessions)
    },
  }
}
