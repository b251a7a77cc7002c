import { Secret } from '@sealwright/secret'
import fc from 'fast-check'
import { OpenBaoError } from './error.ts'
import { encodeSecretObject, parseSecretJson, type SecretJson, secretText } from './secret-json.ts'

/** Back to plain values, to compare with JSON.parse. */
function revive(bytes: Uint8Array, json: SecretJson): unknown {
  switch (json.kind) {
    case 'object':
      return Object.fromEntries([...json.members].map(([name, value]) => [name, revive(bytes, value)]))
    case 'array':
      return json.items.map(item => revive(bytes, item))
    case 'string':
      return secretText(bytes, json, 'GET x').reveal(text => Buffer.from(text).toString())
    case 'plain':
      return JSON.parse(Buffer.from(bytes.subarray(json.start, json.end)).toString()) as unknown
  }
}

function parsed(text: string): unknown {
  const bytes = new TextEncoder().encode(text)
  return revive(bytes, parseSecretJson(bytes, 'GET x'))
}

/** The value, or the one code a broken text may give. */
function outcome(text: string): unknown {
  try {
    return { value: parsed(text) }
  } catch (error) {
    if (error instanceof OpenBaoError) return error.code
    throw error
  }
}

const wellFormed = fc.string({ unit: 'binary' }).filter(text => text.isWellFormed())
const jsonValues = fc.jsonValue({ maxDepth: 5 }).filter(value => JSON.stringify(value).isWellFormed())

describe('parseSecretJson', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(jsonValues, fc.constantFrom(0, 1, 4), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        expect(parsed(text)).toEqual(JSON.parse(text))
      }),
    )
  })

  it('reads every text, however it is escaped', () => {
    fc.assert(
      fc.property(wellFormed, text => {
        const escaped = Array.from(
          { length: text.length },
          (_, index) => `\\u${text.charCodeAt(index).toString(16).padStart(4, '0')}`,
        ).join('')
        expect(parsed(`"${escaped}"`)).toBe(text)
        expect(parsed(JSON.stringify(text))).toBe(text)
      }),
    )
    expect(parsed(String.raw`"\"\\\/\b\f\n\r\t"`)).toBe('"\\/\b\f\n\r\t')
  })

  it('accepts and refuses as JSON.parse does, one changed character at a time', () => {
    const texts = jsonValues.map(value => JSON.stringify(value))
    const changes = fc.string({
      unit: fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        '"',
        ',',
        ':',
        '\\',
        ' ',
        '\n',
        '\0',
        't',
        '0',
        '-',
        '+',
        '.',
        'e',
        'u',
      ),
      maxLength: 1,
    })
    fc.assert(
      fc.property(texts, fc.nat(), changes, (text, position, change) => {
        const at = position % text.length
        const changed = text.slice(0, at) + change + text.slice(at + 1)
        fc.pre(changed.isWellFormed())
        let expected: unknown
        try {
          expected = { value: JSON.parse(changed) as unknown }
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error
          expected = 'OPENBAO_RESPONSE_MALFORMED'
        }
        // Half a surrogate pair is legal JSON; it is no text that we would send back.
        fc.pre(JSON.stringify(expected).search(/\\ud[89a-f]/) < 0)
        expect(outcome(changed)).toEqual(expected)
      }),
      { numRuns: 500 },
    )
  })

  it('refuses every truncation', () => {
    const text = '{"root_token":"s.x\\u0041\\n","keys":["a",{"b":[1,-2.5e3,true,null]}]}'
    for (let length = 0; length < text.length; length++) {
      expect(outcome(text.slice(0, length))).toBe('OPENBAO_RESPONSE_MALFORMED')
    }
  })

  it.each([
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\x"',
    '"\\u12G4"',
    '01',
    '1.',
    '.5',
    '+1',
    'NaN',
    'tru',
    '{"a":1,}',
    '[1,]',
    '{"a"}',
    '{a:1}',
    '"\u0007"',
    '1 2',
    '['.repeat(5000),
    '{"a":'.repeat(5000),
  ])('refuses %.20j', text => {
    expect(outcome(text)).toBe('OPENBAO_RESPONSE_MALFORMED')
  })

  it('refuses bytes that are not UTF-8', () => {
    const bytes = Uint8Array.of(0x22, 0xc3, 0x22)
    expect(() => parseSecretJson(bytes, 'GET x')).toThrow(OpenBaoError)
  })
})

describe('encodeSecretObject', () => {
  it('writes what JSON.parse reads back', () => {
    fc.assert(
      fc.property(fc.dictionary(wellFormed, wellFormed), texts => {
        const secrets = Object.entries(texts).map(
          ([name, text]) => [name, new Secret(new TextEncoder().encode(text))] as const,
        )
        const bytes = encodeSecretObject(Object.fromEntries(secrets))
        expect(JSON.parse(Buffer.from(bytes).toString())).toEqual(Object.fromEntries(Object.entries(texts)))
      }),
    )
  })

  it('refuses a value that is not UTF-8', () => {
    expect(() => encodeSecretObject({ a: new Secret(Uint8Array.of(0xff)) })).toThrow(
      expect.objectContaining({ code: 'OPENBAO_REQUEST_INVALID' }) as Error,
    )
  })
})
