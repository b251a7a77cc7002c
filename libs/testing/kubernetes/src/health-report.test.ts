import { parseHealthReport } from './health-report.ts'

const answer = (status: number, text: string) => ({ status, text, body: undefined })

describe('parseHealthReport', () => {
  it('tells of each check whether it passes', () => {
    const text = '[+]ping ok\n[-]kms-providers failed: reason withheld\n[+]poststarthook/a/b ok\nreadyz check failed\n'
    expect(parseHealthReport('readyz', answer(500, text))).toEqual({
      ok: false,
      checks: { ping: true, 'kms-providers': false, 'poststarthook/a/b': true },
      failing: ['kms-providers'],
      text,
    })
  })

  it('is ok when the API server says so', () => {
    expect(parseHealthReport('livez', answer(200, '[+]ping ok\nlivez check passed\n')).ok).toBe(true)
  })

  it('refuses an answer without checks', () => {
    expect(() => parseHealthReport('readyz', answer(401, '{"reason":"Unauthorized"}'))).toThrow(
      '/readyz answers 401 without checks',
    )
  })
})
