import { readSealFacts, type ReadSealFactsOptions } from './seal-facts.ts'
import { codeOf, inPieces, signal } from './testing/read.ts'
import { snapshotOf } from './testing/write-snapshot.ts'

const config = (type: string, shares = 3, threshold = 2) =>
  JSON.stringify({ type, secret_shares: shares, secret_threshold: threshold, pgp_keys: null, nonce: '', backup: false })

const auto = {
  'core/audit': 'closed by the barrier',
  'core/hsm/barrier-unseal-keys': 'blob 1',
  'core/recovery-config': config('shamir', 5, 3),
  'core/recovery-key': 'blob 2',
  'core/seal-config': config('static', 1, 1),
}

const without = (...keys: readonly string[]) =>
  Object.fromEntries(Object.entries(auto).filter(([key]) => !keys.includes(key)))

async function read(entries: Readonly<Record<string, string>>, options: Partial<ReadSealFactsOptions> = {}) {
  const sorted = Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1))
  return await readSealFacts(inPieces(snapshotOf(Object.fromEntries(sorted))), { signal, ...options })
}

describe('the facts of a seal', () => {
  it('are read with the snapshot that they stand in', async () => {
    const facts = await read(auto)
    expect(facts).toMatchObject({
      snapshot: { entryCount: 5 },
      sealConfig: { type: 'static', secretShares: 1, secretThreshold: 1 },
      recoveryConfig: { type: 'shamir', secretShares: 5, secretThreshold: 3 },
      storedKeys: Uint8Array.from(Buffer.from('blob 1')),
      recoveryKey: Uint8Array.from(Buffer.from('blob 2')),
    })
    expect(Buffer.from(facts.snapshot.sealedSums).toString()).toBe('sealed sums')
  })

  it('are complete without a recovery key', async () => {
    expect(await read(without('core/recovery-config', 'core/recovery-key'))).toMatchObject({
      recoveryConfig: undefined,
      recoveryKey: undefined,
    })
  })

  it('pass over entries whose keys only look alike', async () => {
    const entries = { ...auto, 'core/recovery-key/x': 'other', 'ns/core/recovery-key': 'other' }
    expect(Buffer.from((await read(entries)).recoveryKey ?? []).toString()).toBe('blob 2')
  })

  it.each(['core/seal-config', 'core/hsm/barrier-unseal-keys'])('are refused without %s', async key => {
    expect(await codeOf(read(without(key)))).toBe('RAFT_SNAPSHOT_SEAL_ENTRY_MISSING')
  })

  it.each([
    ['no JSON', 'x'],
    ['nothing', ''],
    ['null', 'null'],
    ['no type', JSON.stringify({ secret_shares: 1, secret_threshold: 1 })],
    ['shares that are no number', JSON.stringify({ type: 'static', secret_shares: '1', secret_threshold: 1 })],
    ['a negative threshold', JSON.stringify({ type: 'static', secret_shares: 1, secret_threshold: -1 })],
  ])('are refused with a configuration that is %s', async (_case, text) => {
    expect(await codeOf(read({ ...auto, 'core/seal-config': text }))).toBe('RAFT_SNAPSHOT_SEAL_CONFIG_MALFORMED')
    expect(await codeOf(read({ ...auto, 'core/recovery-config': text }))).toBe('RAFT_SNAPSHOT_SEAL_CONFIG_MALFORMED')
  })

  it('are read under the same limits and signal', async () => {
    expect(await codeOf(read(auto, { maxStateBytes: 10 }))).toBe('RAFT_SNAPSHOT_TOO_LARGE')
    expect(await codeOf(read(auto, { signal: AbortSignal.abort() }))).toBe('RAFT_SNAPSHOT_CANCELLED')
  })
})
