import fc from 'fast-check'
import { ControlApiError, OPERATIONS, parseJsonBody, parseParameters, parseQuery, pathOf } from './index.ts'

const utf8 = (text: string) => new TextEncoder().encode(text)
const { schema } = OPERATIONS.initialise.body

function refusal(act: () => unknown): ControlApiError {
  try {
    act()
  } catch (error) {
    if (error instanceof ControlApiError) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('a request', () => {
  it('is read back as it was written, whatever its values', () => {
    const label = fc.stringMatching(/^[ -~\u00a0-\uffff]{1,64}$/)
    fc.assert(
      fc.property(label, fc.stringMatching(/^[0-9a-f]{32}$/), (confirm, nonce) => {
        const query = (path: string) => path.slice(path.indexOf('?') + 1)
        const written = query(pathOf(OPERATIONS.deleteSeal, { name: 'a' }, { confirm }))
        // A lone half of a character cannot be written in a URL.
        fc.pre(confirm.isWellFormed())
        expect(parseQuery(OPERATIONS.deleteSeal, written)).toEqual({ confirm })
        const asked = query(pathOf(OPERATIONS.enterShare, {}, { seal: 'people', nonce }))
        expect(parseQuery(OPERATIONS.enterShare, asked)).toEqual({ seal: 'people', nonce })
      }),
    )
  })

  it('may have a repeatable parameter once, often or never', () => {
    for (const lostNode of [['a'], ['a', 'b', 'a']]) {
      const search = lostNode.map(node => `lostNode=${node}`).join('&')
      expect(parseQuery(OPERATIONS.retire, search)).toEqual({ lostNode })
    }
    expect(parseQuery(OPERATIONS.retire, '')).toEqual({})
    expect(parseQuery(OPERATIONS.seals, '')).toBeUndefined()
  })

  it('is never half understood: any query, path or body either fits or is refused with one code', () => {
    fc.assert(
      fc.property(fc.webQueryParameters(), fc.string(), fc.json(), (search, name, body) => {
        for (const act of [
          () => parseQuery(OPERATIONS.enterShare, search),
          () => parseParameters(OPERATIONS.seal, { name }),
          () => parseJsonBody(schema, utf8(body)),
        ]) {
          try {
            act()
          } catch (error) {
            expect(error).toMatchObject({ name: 'ControlApiError', code: 'CONTROL_REQUEST_INVALID' })
          }
        }
      }),
    )
  })

  it('with a field that no schema has is always refused', () => {
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), (field, value) => {
        fc.pre(!['label', 'shares'].includes(field))
        const error = refusal(() => parseJsonBody(schema, utf8(`{${JSON.stringify(field)}:${JSON.stringify(value)}}`)))
        expect(error.message).toContain('is unknown in the body')
      }),
    )
    for (const field of ['__proto__', 'constructor', 'toString']) {
      expect(refusal(() => parseJsonBody(schema, utf8(`{"${field}":{}}`))).code).toBe('CONTROL_REQUEST_INVALID')
    }
  })

  it('is refused in words that hold no value of it', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{12}-[a-z]{12}$/), text => {
        const messages = [
          refusal(() => parseJsonBody(schema, utf8(`{"label":["${text}"]}`))),
          refusal(() => parseJsonBody(schema, utf8(`{"${text}":1}`))),
          refusal(() => parseJsonBody(schema, utf8(text))),
          refusal(() => parseQuery(OPERATIONS.enterShare, `nonce=${text}`)),
          refusal(() => parseQuery(OPERATIONS.seals, `${text}=1`)),
          refusal(() => parseQuery(OPERATIONS.deleteSeal, `${text}=1&${text}=2`)),
          refusal(() => parseParameters(OPERATIONS.seal, { name: text.toUpperCase() })),
        ].map(({ message }) => message.toLowerCase())
        expect(messages.filter(message => message.includes(text))).toEqual([])
      }),
    )
  })

  it('is refused if its JSON is not UTF-8', () => {
    expect(refusal(() => parseJsonBody(schema, Uint8Array.of(0x22, 0xff, 0x22))).message).toBe(
      'the body is no JSON in UTF-8',
    )
  })

  it('may come without a body where no field is needed', () => {
    expect(parseJsonBody(schema, new Uint8Array())).toEqual({})
    expect(refusal(() => parseJsonBody(OPERATIONS.revokeMember.body.schema, new Uint8Array())).message).toBe(
      'seal is missing in the body',
    )
  })
})
