import { waitUntil } from '@sealwright/testing-rig'
import { createKitPool } from './kit-pool.ts'
import { type SessionKit } from './session-kit.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const WAIT = { timeoutMs: 5000, intervalMs: 1 }

/** A pool over kits that only count, with a clock of its own. */
function makePool(spareKits: number) {
  const state = { nowMs: 0, made: 0, closed: 0, failing: false, failures: 0 }
  const make = (count: number): Promise<SessionKit[]> => {
    if (state.failing) return Promise.reject(new Error('no mkfifo'))
    return Promise.resolve(
      Array.from({ length: count }, () => ({
        name: String(state.made++),
        certificate: { privateKeyPem: '', certificatePem: '', certificateDer: Buffer.alloc(0) },
        madeAtMs: state.nowMs,
        replyPipe: {
          handOver: () => Promise.resolve(),
          close: () => {
            state.closed += 1
          },
        },
      })),
    )
  }
  const pool = createKitPool({ spareKits, make, now: () => state.nowMs, onFailure: () => (state.failures += 1) })
  return { pool, state }
}

describe('createKitPool', () => {
  it('fills itself without being asked, and again after a kit was taken', async () => {
    const { pool, state } = makePool(2)
    await waitUntil(() => state.made === 2, { what: 'two spares', ...WAIT })
    expect((await pool.take()).name).toBe('0')
    await waitUntil(() => state.made === 3, { what: 'a third', ...WAIT })
    await pool.close()
    expect(state.closed).toBe(2)
  })

  it('makes a kit when there is no spare one', async () => {
    const { pool, state } = makePool(0)
    expect((await pool.take()).name).toBe('0')
    await pool.close()
    expect(state.made).toBe(1)
  })

  it.each([DAY_MS, -DAY_MS])('throws spares away after the clock moved by %d ms', async movedMs => {
    const { pool, state } = makePool(2)
    await waitUntil(() => state.made === 2, { what: 'two spares', ...WAIT })
    state.nowMs += movedMs
    expect((await pool.take()).madeAtMs).toBe(movedMs)
    expect(state.closed).toBe(2)
    await pool.close()
  })

  it('reports a failure of its own, and passes that of a taker on', async () => {
    const { pool, state } = makePool(0)
    state.failing = true
    await expect(pool.take()).rejects.toThrow('no mkfifo')
    state.failing = false
    await expect(pool.take()).resolves.toBeDefined()
    await pool.close()
  })

  it('removes what was under way when it was closed', async () => {
    const { pool, state } = makePool(2)
    await pool.close()
    expect(state.closed).toBe(state.made)
  })
})
