import { agentMetrics } from './metrics.ts'

async function valueOf(text: Promise<string>, series: string): Promise<string | undefined> {
  return (await text)
    .split('\n')
    .find(line => line.startsWith(`${series} `))
    ?.slice(series.length + 1)
}

describe('the metrics of the agent', () => {
  it('count tries of seals by result and code, with the time of the last real unwrap', async () => {
    const metrics = agentMetrics(() => 1_700_000_000_000)
    metrics.countAttempt({ kind: 'opened', sealName: 'tpm', tookMs: 20 })
    const failure = { code: 'TPM_TIMEOUT', message: 'at /dev/tpmrm0', kind: 'transient' } as const
    metrics.countAttempt({ kind: 'failed', sealName: 'tpm', tookMs: 30_000, failure })
    expect(await valueOf(metrics.text(), 'sealwright_seal_attempts_total{seal="tpm",result="opened"}')).toBe('1')
    expect(await valueOf(metrics.text(), 'sealwright_seal_attempts_total{seal="tpm",result="failed"}')).toBe('1')
    expect(await valueOf(metrics.text(), 'sealwright_seal_failures_total{seal="tpm",code="TPM_TIMEOUT"}')).toBe('1')
    expect(await valueOf(metrics.text(), 'sealwright_seal_unwrap_seconds_sum{seal="tpm"}')).toBe('0.02')
    expect(await valueOf(metrics.text(), 'sealwright_seal_last_unwrap_timestamp_seconds{seal="tpm"}')).toBe(
      '1700000000',
    )
    expect(await metrics.text()).not.toContain('/dev')
  })

  it('count calls by method and result, and what else happens by kind', async () => {
    const metrics = agentMetrics(Date.now)
    const call = { kind: 'called', sessionId: 's', method: 'Encrypt', tookMs: 1 } as const
    metrics.countPluginEvent(call)
    metrics.countPluginEvent({ ...call, failure: { code: 'SEAL_NOT_OPEN', cause: new Error('no') } })
    metrics.countPluginEvent({ kind: 'junkDropped', droppedBytes: 1, droppedLines: 1 })
    expect(await valueOf(metrics.text(), 'sealwright_plugin_calls_total{method="Encrypt",result="ok"}')).toBe('1')
    expect(
      await valueOf(metrics.text(), 'sealwright_plugin_calls_total{method="Encrypt",result="SEAL_NOT_OPEN"}'),
    ).toBe('1')
    expect(await valueOf(metrics.text(), 'sealwright_plugin_events_total{kind="junkDropped"}')).toBe('1')
  })

  it('show whether a key is in memory, its generation, and who is connected', async () => {
    const metrics = agentMetrics(Date.now)
    metrics.setOpen(true, 3)
    metrics.setSessions(2)
    metrics.setKeyringRefused(true)
    expect(await valueOf(metrics.text(), 'sealwright_keyring_refused')).toBe('1')
    metrics.setKeyringRefused(false)
    expect(await valueOf(metrics.text(), 'sealwright_keyring_refused')).toBe('0')
    expect(await valueOf(metrics.text(), 'sealwright_open')).toBe('1')
    expect(await valueOf(metrics.text(), 'sealwright_keyring_generation')).toBe('3')
    expect(await valueOf(metrics.text(), 'sealwright_sessions')).toBe('2')
    expect(metrics.contentType).toMatch(/^text\/plain/)
  })
})
