import { leaseTimes, postponed, renewedTimes, unknownTimes, unrefreshed } from './lease.ts'

const renewable = (leaseMs: number) => ({ leaseMs, renewable: true })

describe('the times of a lease', () => {
  it('leave a third of it for an outage', () => {
    expect(leaseTimes(1_000, renewable(60_000))).toEqual({ refreshAtMs: 41_000, expiresAtMs: 61_000, renewable: true })
  })

  it('are endless for a token that is', () => {
    const endless = { refreshAtMs: Infinity, expiresAtMs: Infinity, renewable: false }
    expect(leaseTimes(1_000, renewable(0))).toEqual(endless)
  })

  it('ask for a renewal at once where nothing is known', () => {
    expect(unknownTimes(5)).toEqual({ refreshAtMs: 5, expiresAtMs: Infinity, renewable: true })
    expect(renewedTimes(unknownTimes(5), 6, renewable(3_000)).expiresAtMs).toBe(3_006)
  })

  it('go on with a renewal that gained something', () => {
    const times = leaseTimes(0, renewable(60_000))
    expect(renewedTimes(times, 40_000, renewable(60_000))).toEqual(leaseTimes(40_000, renewable(60_000)))
  })

  it.each([0, 20_000, 21_000])('end with a renewal to %i ms, which gained next to nothing', leaseMs => {
    const times = leaseTimes(0, renewable(60_000))
    const last = renewedTimes(times, 40_000, renewable(leaseMs))
    expect(last).toEqual({ refreshAtMs: 40_000, expiresAtMs: 60_000, renewable: false })
  })

  it('bring tries closer together as the end comes closer, and none after it', () => {
    let times = leaseTimes(0, renewable(90_000))
    const tries: number[] = []
    while (times.refreshAtMs !== Infinity) {
      tries.push(Math.round(times.refreshAtMs))
      times = postponed(times, times.refreshAtMs)
    }
    expect(tries).toEqual([60_000, 75_000, 82_500, 86_250, 88_125, 89_125])
  })

  it('try once a minute where the end is not known', () => {
    expect(postponed(unknownTimes(0), 0).refreshAtMs).toBe(60_000)
    expect(unrefreshed(unknownTimes(0))).toEqual({ refreshAtMs: Infinity, expiresAtMs: Infinity, renewable: false })
  })
})
