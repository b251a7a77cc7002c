import fc from 'fast-check'
import { CHAIN_START, type ChainPosition } from './chain.ts'
import { checkEvent, type Detail } from './detail.ts'
import { AuditError } from './errors.ts'
import { type AuditEvent, fieldsOf } from './events.ts'
import { MAX_DETAIL_FIELDS, MAX_LINE_BYTES, MAX_TEXT_UNITS } from './limits.ts'
import { type AuditLine, decodeLine, type EncodedLine, encodeEvent } from './line.ts'
import { SAMPLE_EVENTS } from './testing/sample-events.ts'

const occasion = { timeMs: Date.UTC(2025, 10, 22, 11, 14, 0, 123), node: 'node-1' }
const before: ChainPosition = { sequence: 16, hash: 'ab'.repeat(32) }
const samples = Object.values<AuditEvent>(SAMPLE_EVENTS)

const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1')
const withoutFeed = ({ text }: EncodedLine): Uint8Array => bytesOf(text.slice(0, -1))
const encode = (event: AuditEvent): EncodedLine => encodeEvent(checkEvent(event), before, occasion)

function lineOf(bytes: Uint8Array): AuditLine {
  const decoded = decodeLine(bytes)
  if (decoded.kind === 'flawed') throw new Error(decoded.flaw)
  return decoded.line
}

function flawOf(bytes: Uint8Array): string {
  const decoded = decodeLine(bytes)
  return decoded.kind === 'flawed' ? decoded.flaw : 'none'
}

function codeOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    if (!(error instanceof AuditError)) throw error
    return error.code
  }
}

describe('a line', () => {
  it('has the fields of the document in their order', () => {
    const { text, hash } = encode({ kind: 'agent-stopped', reason: 'SIGTERM' })
    expect(text).toBe(
      `{"v":1,"seq":17,"prev":"${before.hash}","time":"2025-11-22T11:14:00.123Z","node":"node-1",` +
        `"kind":"agent-stopped","detail":{"reason":"SIGTERM"},"hash":"${hash}"}\n`,
    )
  })

  it.each(samples)('of kind $kind is read back as it was written', event => {
    const { kind, ...detail } = event
    const encoded = encode(event)
    expect(lineOf(withoutFeed(encoded))).toEqual({
      ...{ sequence: 17, hash: encoded.hash, previousHash: before.hash },
      ...occasion,
      ...{ kind, detail },
    })
  })

  it('of each kind may lack just what its kind need not have', () => {
    for (const event of samples) {
      const { kind } = event
      for (const [name, type] of Object.entries(fieldsOf(kind) ?? {})) {
        const lacking = Object.fromEntries(Object.entries(event).filter(([field]) => field !== name))
        const code = codeOf(() => checkEvent(lacking as AuditEvent))
        expect([kind, name, code]).toEqual([kind, name, type.endsWith('?') ? 'none' : 'AUDIT_EVENT_INVALID'])
      }
    }
  })

  it('is refused with any bit flipped', () => {
    const whole = withoutFeed(encode(SAMPLE_EVENTS['share-entered']))
    for (let bit = 0; bit < whole.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(whole)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect([bit, flawOf(flipped)]).not.toEqual([bit, 'none'])
    }
  })

  it('is refused wherever it is cut short', () => {
    const whole = withoutFeed(encode(SAMPLE_EVENTS['share-entered']))
    for (let length = 0; length < whole.byteLength; length += 1) {
      expect([length, flawOf(whole.subarray(0, length))]).toEqual([length, 'malformed'])
    }
  })

  it('tells another hash, another version and no line apart', () => {
    const text = encode(SAMPLE_EVENTS['agent-started']).text.slice(0, -1)
    const otherHash = text.replace(/"hash":"[0-9a-f]{64}"/, `"hash":"${'0'.repeat(64)}"`)
    expect(flawOf(bytesOf(otherHash))).toBe('hash')
    expect(flawOf(bytesOf(text.replace('"v":1', '"v":2')))).toBe('unsupported')
    expect(flawOf(bytesOf(text.replace('"v":1', '"v":1.5')))).toBe('malformed')
    expect(flawOf(bytesOf(text.replace('0.1.0', '0.1.1')))).toBe('hash')
    expect(flawOf(bytesOf('[]'))).toBe('malformed')
    expect(flawOf(bytesOf('null'))).toBe('malformed')
  })

  it.each<readonly [string, (text: string) => string]>([
    ['white space', text => text.replace(',"seq"', ', "seq"')],
    ['another order of fields', text => text.replace('"pid":4711,"version":"0.1.0"', '"version":"0.1.0","pid":4711')],
    ['a field twice', text => text.replace('"pid":4711', '"pid":4711,"pid":4711')],
    ['an escape for what needs none', text => text.replace('0.1.0', '0\\u002e1.0')],
    ['another spelling of a number', text => text.replace('4711', '4711.0')],
    ['a number with an exponent', text => text.replace('4711', '4711e0')],
    ['another spelling of the time', text => text.replace('.123Z', '.1230Z')],
    ['a time that there is not', text => text.replace('11-22T', '13-22T')],
    ['upper-case digits', text => text.replace(before.hash, before.hash.toUpperCase())],
    ['a field more', text => text.replace('"pid"', '"extra":1,"pid"')],
    ['a field more at the top', text => text.replace('"kind"', '"more":1,"kind"')],
    ['a text for a number', text => text.replace('4711', '"4711"')],
    ['a negative number', text => text.replace('4711', '-1')],
    ['a list', text => text.replace('4711', '[]')],
    ['a name that no field has', text => text.replace('"pid"', '"__proto__"')],
    ['the sequence number 0', text => text.replace('"seq":17', '"seq":0')],
    ['a sequence number beyond the last', text => text.replace('"seq":17', '"seq":1000000000000000')],
    ['something behind it', text => `${text} `],
    ['a carriage return', text => `${text}\r`],
    ['a byte that is no ASCII', text => text.replace('node-1', 'node-\u00e9')],
  ])('is refused with %s', (_what, change) => {
    const text = encode(SAMPLE_EVENTS['agent-started']).text.slice(0, -1)
    expect(change(text)).not.toBe(text)
    expect(flawOf(bytesOf(change(text)))).toBe('malformed')
  })

  it('of a kind that a newer version knows is checked all the same', () => {
    const encoded = encodeEvent(
      { kind: 'moon-risen', detail: { full: true, nights: 3, where: 'east' } },
      before,
      occasion,
    )
    expect(lineOf(withoutFeed(encoded)).kind).toBe('moon-risen')
    expect(flawOf(bytesOf(encoded.text.slice(0, -1).replace('east', 'west')))).toBe('hash')
  })

  it('keeps whatever a text holds in printable ASCII, and gives it back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: MAX_TEXT_UNITS }), fc.string(), (reason, node) => {
        fc.pre(reason.length <= MAX_TEXT_UNITS && node.length <= MAX_TEXT_UNITS)
        const encoded = encodeEvent(checkEvent({ kind: 'agent-stopped', reason }), before, { ...occasion, node })
        expect(encoded.text).toMatch(/^[\x20-\x7e]+\n$/)
        const line = lineOf(withoutFeed(encoded))
        expect([line.detail.reason, line.node]).toEqual([reason, node])
      }),
    )
  })

  it('has one encoding for any details, and gives them back', () => {
    const value = fc.oneof(fc.string({ maxLength: MAX_TEXT_UNITS }), fc.maxSafeNat(), fc.boolean())
    const name = fc.stringMatching(/^[a-z][A-Za-z0-9]{0,31}$/)
    const details = fc.dictionary(name, value, { maxKeys: MAX_DETAIL_FIELDS, noNullPrototype: true })
    fc.assert(
      fc.property(details, fc.maxSafeNat(), (detail: Detail, sequence) => {
        const position = { sequence: sequence % 999_999_999_999_999, hash: before.hash }
        const encoded = encodeEvent({ kind: 'any-kind', detail }, position, occasion)
        expect(lineOf(withoutFeed(encoded)).detail).toEqual(detail)
        const reversed = Object.fromEntries(Object.entries(detail).reverse())
        expect(encodeEvent({ kind: 'any-kind', detail: reversed }, position, occasion)).toEqual(encoded)
      }),
    )
  })

  it('is never longer than a line may be', () => {
    const text = '\u0001'.repeat(MAX_TEXT_UNITS)
    const names = Array.from(
      { length: MAX_DETAIL_FIELDS },
      (_, index) => 'f'.repeat(30) + String(index).padStart(2, '0'),
    )
    const detail = Object.fromEntries(names.map(name => [name, text]))
    const encoded = encodeEvent({ kind: 'k'.repeat(40), detail }, before, { ...occasion, node: text })
    expect(encoded.text.length).toBeLessThanOrEqual(MAX_LINE_BYTES)
    expect(lineOf(withoutFeed(encoded)).detail).toEqual(detail)
    expect(flawOf(new Uint8Array(MAX_LINE_BYTES))).toBe('malformed')
  })

  it('clips a text that is too long, and shows it', () => {
    const line = lineOf(withoutFeed(encode({ kind: 'agent-stopped', reason: 'x'.repeat(1000) })))
    expect(line.detail.reason).toBe(`${'x'.repeat(MAX_TEXT_UNITS - 1)}…`)
  })
})

describe('an event', () => {
  it.each<readonly [string, object]>([
    ['of no kind', { kind: 'nothing-known' }],
    ['with a field that its kind does not have', { ...SAMPLE_EVENTS['keyring-stored'], share: 'value' }],
    ['with a fraction', { kind: 'keyring-stored', revision: 1.5 }],
    ['with no number', { kind: 'keyring-stored', revision: Number.NaN }],
    ['with a negative number', { kind: 'keyring-stored', revision: -1 }],
    ['with a negative zero', { kind: 'keyring-stored', revision: -0 }],
    ['with an object', { kind: 'keyring-stored', revision: {} }],
    ['with a text for a number', { kind: 'keyring-stored', revision: '1' }],
    ['with a field name that is none', { kind: 'keyring-stored', revision: 1, 'not a name': 1 }],
    [
      'with too many fields',
      { kind: 'keyring-stored', ...Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`f${index}`, 1])) },
    ],
  ])('%s is refused with AUDIT_EVENT_INVALID', (_what, event) => {
    expect(codeOf(() => checkEvent(event as AuditEvent))).toBe('AUDIT_EVENT_INVALID')
  })

  it('that is refused is named without its values', () => {
    expect(() => checkEvent({ kind: 'keyring-stored', revision: 1, share: 's3cret' } as AuditEvent)).toThrow(
      'an event "keyring-stored" cannot be written: it has no field "share"',
    )
  })
})

describe('a chain', () => {
  it('begins with a line behind nothing', () => {
    const first = encodeEvent(checkEvent(SAMPLE_EVENTS['agent-started']), CHAIN_START, occasion)
    expect(lineOf(withoutFeed(first))).toMatchObject({ sequence: 1, previousHash: '0'.repeat(64) })
  })
})
