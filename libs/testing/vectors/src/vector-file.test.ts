import { fromHex, toHex } from './hex.ts'
import { assertUniqueNames, checkEntries, listVectorFiles, readVectorEntries, readVectors } from './vector-file.ts'

describe('hex', () => {
  it('reads what it writes', () => {
    expect(toHex(fromHex('00ff10'))).toBe('00ff10')
    expect(fromHex('').byteLength).toBe(0)
  })

  it.each(['0', 'FF', '0x00', '00 11', 'zz'])('refuses %j', text => {
    expect(() => fromHex(text)).toThrow(SyntaxError)
  })
})

describe('the vector files of this repository', () => {
  const files = listVectorFiles()

  it('are found', () => {
    expect(files).toContainEqual({ format: 'envelope', file: 'xaes-256-gcm.json' })
  })

  it.each(files)('name each vector and its source: $format/$file', file => {
    expect(readVectorEntries(file).length).toBeGreaterThan(0)
  })
})

describe('reading vectors', () => {
  it('turns hex into bytes and keeps text', () => {
    const [first] = readVectors('secret', 'base64.json', { encoded: 'text', bytes: 'hex?', code: 'text?' })
    expect(first?.encoded).toBe('Zg==')
    expect(first?.bytes).toBeDefined()
  })

  it('refuses a field that the reader does not know', () => {
    expect(() => readVectors('secret', 'base64.json', { encoded: 'text' })).toThrow(/unknown field/)
  })

  it('refuses a vector that lacks a field', () => {
    const fields = { encoded: 'text', bytes: 'hex?', code: 'text?', missing: 'hex' } as const
    expect(() => readVectors('secret', 'base64.json', fields)).toThrow(/missing: expected hex/)
  })
})

describe('the rules for every file', () => {
  it.each([
    ['no array', {}, /array/],
    ['an empty array', [], /array/],
    ['a bare value', [1], /not an object/],
    ['no name', [{ source: 's' }], /no name/],
    ['no source', [{ name: 'n' }], /no source/],
    ['an empty source', [{ name: 'n', source: '' }], /no source/],
  ])('refuse %s', (_case, parsed, message) => {
    expect(() => checkEntries('f', parsed)).toThrow(message)
  })
})

describe('two vectors of one name', () => {
  it('are refused when a file is read', () => {
    const entry = { name: 'n', source: 's', rest: {} }
    expect(() => {
      assertUniqueNames('f', [entry, { ...entry, name: 'm' }])
    }).not.toThrow()
    expect(() => {
      assertUniqueNames('f', [entry, entry])
    }).toThrow(/two vectors are named n/)
  })
})
