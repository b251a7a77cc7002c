import { KmsError } from './errors.ts'
import { type HealthPolicy, illnessOf, NO_PROBES, probeFailed, type ProbeHistory, probePassed } from './health.ts'

const policy: HealthPolicy = { unhealthyAfterFailures: 3, staleAfterMs: 60_000 }
const down = new KmsError('KMS_BACKEND_UNAVAILABLE', 'it is down', { cause: new Error('connect 10.0.0.1:8200') })

function failed(history: ProbeHistory, times: number, error: unknown = down): ProbeHistory {
  return Array.from({ length: times }).reduce<ProbeHistory>(before => probeFailed(before, error), history)
}

function illnessAt(nowMs: number, history: ProbeHistory): string | null {
  return illnessOf(history, { nowMs, policy })
}

describe('a backend', () => {
  it('is not known to be well before its first probe, and ill from the first that fails', () => {
    expect(illnessAt(0, NO_PROBES)).toBe('KMS_NOT_READY: the backend has not been tried yet')
    expect(illnessAt(0, failed(NO_PROBES, 1))).toBe('KMS_BACKEND_UNAVAILABLE: it is down')
  })

  it('is well after a probe that passed', () => {
    expect(illnessAt(5, probePassed(5))).toBeNull()
    expect(illnessAt(5, probePassed(0))).toBeNull()
  })

  it('is ill after so many failures in a row, not before, and well again after one that passed', () => {
    expect(illnessAt(5, failed(probePassed(0), 2))).toBeNull()
    expect(illnessAt(5, failed(probePassed(0), 3))).toBe('KMS_BACKEND_UNAVAILABLE: it is down')
    expect(illnessAt(5, failed(probePassed(0), 1_000))).toBe('KMS_BACKEND_UNAVAILABLE: it is down')
    expect(illnessAt(5, probePassed(5))).toBeNull()
  })

  it('is ill when no probe has passed for so long, whether they fail or hang', () => {
    expect(illnessAt(60_000, probePassed(0))).toBeNull()
    expect(illnessAt(60_001, probePassed(0))).toBe(
      'KMS_BACKEND_UNAVAILABLE: the backend was last seen to work 60 s ago',
    )
    expect(illnessAt(120_000, failed(probePassed(0), 1))).toMatch(/120 s ago$/)
  })

  it('does not become ill by a clock that stands still or goes back', () => {
    expect(illnessAt(10, probePassed(10))).toBeNull()
    expect(illnessAt(-1_000_000, probePassed(10))).toBeNull()
  })

  it('is described by the last failure', () => {
    const other = new KmsError('KMS_BACKEND_REFUSED', 'the token was revoked')
    expect(illnessAt(0, failed(failed(NO_PROBES, 2), 1, other))).toBe('KMS_BACKEND_REFUSED: the token was revoked')
  })
})

describe('words for kube-apiserver', () => {
  it('hold nothing of a cause, nor of a failure that is none of ours', () => {
    expect(illnessAt(0, failed(NO_PROBES, 1))).not.toContain('10.0.0.1')
    for (const error of [new Error('token s.1234 at 10.0.0.1'), 'token s.1234', null]) {
      expect(illnessAt(0, failed(NO_PROBES, 1, error))).toBe('a fault of the KMS plugin: see its log')
    }
  })
})
