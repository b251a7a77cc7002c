import { readReadmeExamples } from '@sealwright/testing-checks'

import { decodeBase64 } from './base64.ts'

function example(encoded: Uint8Array): boolean {
  // README
  const key = decodeBase64(encoded)
  try {
    return key.reveal(bytes => bytes.byteLength === 32)
  } finally {
    key.wipe()
    encoded.fill(0)
  }
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('works', () => {
    expect(example(new TextEncoder().encode(Buffer.alloc(32, 7).toString('base64')))).toBe(true)
    expect(example(new TextEncoder().encode(Buffer.alloc(31, 7).toString('base64')))).toBe(false)
  })
})
