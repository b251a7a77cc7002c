import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { printsOf, readReadmeExamples, spellingsOf } from './index.ts'

const key = Uint8Array.of(7, 200, 31, 90)

function example(value: unknown): void {
  // README
  const { shown, own } = readReadmeExamples(import.meta.filename)
  expect(shown).toEqual(own)

  const spellings = spellingsOf(key)
  for (const printed of printsOf(value)) for (const spelling of spellings) expect(printed).not.toContain(spelling)
  // end
}

describe('the example in the README', () => {
  it('passes for a value that shows nothing', () => {
    example({ closed: true })
  })

  it.each<[string, unknown]>([
    ['a field', { key }],
    ['a field that hides from listing', Object.defineProperty({}, 'key', { value: key, enumerable: false })],
    [
      'a getter',
      {
        get: {
          get key() {
            return key
          },
        },
      },
    ],
    ['a JSON object of numbers', { toJSON: () => Object.fromEntries(key.entries()) }],
    ['the cause of an error', new Error('text', { cause: key })],
    ['an own way to be inspected', { [inspect.custom]: () => Buffer.from(key).toString('hex') }],
    ['an own form in JSON', { toJSON: () => Buffer.from(key).toString('base64') }],
  ])('fails for one that shows it by %s', (_way, value) => {
    expect(() => {
      example(value)
    }).toThrow(/toContain/)
  })
})

describe('a file without an example', () => {
  it('is an error', () => {
    const file = join(import.meta.dirname, 'index.ts')
    expect(readFileSync(file, 'utf8')).not.toContain('README')
    expect(() => readReadmeExamples(file)).toThrow(SyntaxError)
  })
})
