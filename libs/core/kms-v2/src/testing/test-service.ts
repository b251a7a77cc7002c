import { Secret } from '@sealwright/secret'
import { type KmsProvider } from '../backend.ts'
import { KmsError } from '../errors.ts'
import { type KeyLife, type RotationPolicy } from '../key-life.ts'
import { lookAtKey } from '../look.ts'
import { kmsV2Service, type ServiceOptions } from '../service-of-backend.ts'
import { type KmsCall, type KmsV2Service } from '../service.ts'
import { type MemoryBackend, memoryBackend } from './memory-backend.ts'

/** What most tests call the cluster. */
export const CLUSTER_ID = 'production-eu'
/** When most tests begin, in milliseconds since 1970. */
export const START_MS = 1_700_000_000_000
/** Two observations, and ten minutes. */
export const POLICY: RotationPolicy = { stableObservations: 2, activationDelayMs: 600_000 }

/** A call that nobody aborts. */
export const CALL: KmsCall = { signal: new AbortController().signal }

/** What a service is told that knows this of its key, from a look, and of nothing wrong. */
export function knowing(life: KeyLife | null): Pick<ServiceOptions, 'life' | 'hasLooked' | 'illness'> {
  return { life: () => life, hasLooked: () => true, illness: () => null }
}

/** A service over a key in memory, with all that the service asks for, to be turned by a test. */
export interface TestService {
  readonly backend: MemoryBackend
  readonly service: KmsV2Service
  /** What the service is told. */
  readonly told: { life: KeyLife | null; illness: string | null; hasLooked: boolean }
  /** How often the service wanted the key to be looked at. */
  readonly surprises: () => number
  /** Looks at the key, and tells the service. Time goes on by this many milliseconds before. What it asks the backend is not counted. */
  readonly observe: (laterMs?: number) => Promise<KeyLife>
}

/** A service that has seen version 1 of its key, and encrypts by it. */
export async function testService({
  clusterId = CLUSTER_ID,
  provider = 'transit',
}: { readonly clusterId?: string; readonly provider?: KmsProvider } = {}): Promise<TestService> {
  let nowMs = START_MS
  let turn = 0
  const told: TestService['told'] = { life: null, illness: null, hasLooked: true }
  let surprises = 0
  const backend = memoryBackend({ provider, nowMs: () => nowMs })
  const service = kmsV2Service({
    backend,
    clusterId,
    life: () => told.life,
    illness: () => told.illness,
    hasLooked: () => told.hasLooked,
    onSurprise: () => {
      surprises += 1
    },
  })
  const observe = async (laterMs = 0): Promise<KeyLife> => {
    nowMs += laterMs
    const options = { backend, clusterId, policy: POLICY, nowMs, turn: (turn += 1), newPlaintext: () => seed() }
    const before = { ...backend.calls }
    told.life = (await lookAtKey(told.life, options, CALL)).life
    Object.assign(backend.calls, before)
    return told.life
  }
  await observe()
  return { backend, service, told, surprises: () => surprises, observe }
}

/** The seed that kube-apiserver would send: 32 bytes. */
export function seed(fill = 7): Secret {
  return new Secret(new Uint8Array(32).fill(fill))
}

/** The code of the {@link KmsError} that `run` ends with. */
export async function codeOf(run: () => unknown): Promise<string> {
  return (await errorOf(run))?.code ?? 'none'
}

/** The {@link KmsError} that `run` ends with. */
export async function errorOf(run: () => unknown): Promise<KmsError | undefined> {
  try {
    await run()
    return undefined
  } catch (error) {
    if (error instanceof KmsError) return error
    throw error
  }
}
