import fc from 'fast-check'
import { parseGrpcTimeout } from './grpc-timeout.ts'

describe('parseGrpcTimeout', () => {
  it.each([
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['4m', 4],
    ['5000u', 5],
    ['6000000n', 6],
    ['0n', 0],
    ['00000030S', 30_000],
    ['99999999H', 359_999_996_400_000],
  ])('reads %s', (text, timeoutMs) => {
    expect(parseGrpcTimeout(text)).toBeCloseTo(timeoutMs, 9)
  })

  it.each([
    '',
    'S',
    '1',
    '1x',
    '-1S',
    '+1S',
    '1.5S',
    ' 1S',
    '1S ',
    '1 S',
    '100000000S',
    '1s',
    '1h',
    '0x1S',
    '1SS',
    '１S',
    '1S\n',
  ])('does not take %j', text => {
    expect(parseGrpcTimeout(text)).toBeNull()
  })

  it('never throws', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        expect(parseGrpcTimeout(text) ?? 0).toBeGreaterThanOrEqual(0)
      }),
    )
  })
})
