import { type KeyringEvent } from '@sealwright/kms-backends'
import { activeVersion, type KeyLife } from '@sealwright/kms-v2'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

const MS_PER_SECOND = 1_000
const CALL_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** What `/metrics` shows. Labels hold names and codes, never key ids or addresses. */
export interface PluginMetrics {
  readonly contentType: string
  readonly text: () => Promise<string>
  readonly countCall: (call: { readonly method: string; readonly status: string; readonly durationMs: number }) => void
  readonly countProbe: (result: 'passed' | 'failed') => void
  readonly setLife: (life: KeyLife) => void
  readonly setHealth: (health: { readonly isHealthy: boolean; readonly probeAgeMs: number | null }) => void
  readonly setStateWritten: (isWritten: boolean) => void
  readonly countKeyringEvent: (event: KeyringEvent) => void
}

export function pluginMetrics(): PluginMetrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const calls = new Histogram({
    name: 'sealwright_kms_call_seconds',
    help: 'How long calls of kube-apiserver took, by method and gRPC status',
    labelNames: ['method', 'status'] as const,
    buckets: CALL_BUCKETS_SECONDS,
    registers,
  })
  const probes = new Counter({
    name: 'sealwright_kms_probes_total',
    help: 'Looks at the key with a real encryption and decryption, by result',
    labelNames: ['result'] as const,
    registers,
  })
  const version = new Gauge({ name: 'sealwright_kms_key_version', help: 'Version of the key that encrypts', registers })
  const versions = new Gauge({
    name: 'sealwright_kms_key_versions',
    help: 'Known versions of the key, by phase',
    labelNames: ['phase'] as const,
    registers,
  })
  const trouble = new Gauge({ name: 'sealwright_kms_key_trouble', help: '1 while the key is not as it was', registers })
  const healthy = new Gauge({ name: 'sealwright_kms_healthy', help: '1 while Status says ok', registers })
  const probeAge = new Gauge({
    name: 'sealwright_kms_probe_age_seconds',
    help: 'Since the last probe that passed; -1 before the first',
    registers,
  })
  const state = new Gauge({
    name: 'sealwright_kms_state_written',
    help: '1 if what is known of the key is remembered',
    registers,
  })

  const seals = new Counter({
    name: 'sealwright_kms_seal_attempts_total',
    help: 'Real unwraps of the keyring tried, by seal and result',
    labelNames: ['seal', 'result'] as const,
    registers,
  })
  const store = new Gauge({
    name: 'sealwright_kms_store_taken',
    help: '0 while the keyring in the store is another one than the one in use: the next start is at risk',
    registers,
  })
  store.set(1)

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    countCall: ({ method, status, durationMs }) => {
      calls.observe({ method, status }, durationMs / MS_PER_SECOND)
    },
    countProbe: result => {
      probes.inc({ result })
    },
    setLife: life => {
      version.set(activeVersion(life)?.version ?? 0)
      for (const phase of ['pending', 'active', 'retiring', 'retired'] as const) {
        versions.set({ phase }, life.versions.filter(each => each.phase === phase).length)
      }
      trouble.set(life.trouble === null ? 0 : 1)
    },
    setHealth: ({ isHealthy, probeAgeMs }) => {
      healthy.set(isHealthy ? 1 : 0)
      probeAge.set(probeAgeMs === null ? -1 : probeAgeMs / MS_PER_SECOND)
    },
    countKeyringEvent: event => {
      switch (event.kind) {
        case 'opened':
          seals.inc({ seal: event.sealName, result: 'opened' })
          store.set(1)
          return
        case 'seal-failed':
          seals.inc({ seal: event.sealName, result: 'failed' })
          return
        case 'store-taken':
          store.set(1)
          return
        case 'store-not-taken':
          store.set(0)
          return
        case 'pin-refused':
        case 'store-not-locked':
        case 'tended':
        case 'not-tended':
        case 'tending-failed':
          return
      }
    },
    setStateWritten: isWritten => {
      state.set(isWritten ? 1 : 0)
    },
  }
}
