import fc from 'fast-check'
import { status } from '@grpc/grpc-js'
import { GRPC_STATUS, percentEncode } from './status.ts'

describe('the numbers of the statuses', () => {
  it.each(Object.entries(GRPC_STATUS))('are those of gRPC: %s', (name, number) => {
    expect(status[number]).toBe(name)
  })
})

describe('percentEncode', () => {
  it.each([
    ['plain text, with: punctuation!', 'plain text, with: punctuation!'],
    ['100 %', '100 %25'],
    ['line\r\nline', 'line%0D%0Aline'],
    ['Schlüssel', 'Schl%C3%BCssel'],
    ['🔑', '%F0%9F%94%91'],
    ['\u007f\u0000', '%7F%00'],
    // A surrogate alone is no character; it becomes U+FFFD.
    ['\ud800', '%EF%BF%BD'],
    ['', ''],
  ])('spells %j', (text, encoded) => {
    expect(percentEncode(text)).toBe(encoded)
  })

  it('is what a percent-decoder takes back, in printable ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 100 }), text => {
        const encoded = percentEncode(text)
        expect(encoded).toMatch(/^[\x20-\x7e]*$/)
        expect(decodeURIComponent(encoded)).toBe(text)
      }),
    )
  })

  it('cuts off what is too long for a header', () => {
    expect(percentEncode('x'.repeat(5000))).toBe('x'.repeat(1024))
  })
})
