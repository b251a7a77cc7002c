import fc from 'fast-check'
import * as v from 'valibot'
import { decodeFacts, encodeFacts } from './index.ts'

describe('facts in a header', () => {
  it('are printable ASCII and read back as they were, whatever letters they have', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), label => {
        const header = encodeFacts({ label })
        expect(header).toMatch(/^[\x20-\x7e]+$/)
        expect(decodeFacts(v.object({ label: v.string() }), header)).toEqual({ label })
      }),
    )
  })

  it('are refused in another form', () => {
    expect(() => decodeFacts(v.object({ label: v.string() }), '{"label":1}')).toThrow('Invalid type')
  })
})
