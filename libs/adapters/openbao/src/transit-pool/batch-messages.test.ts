import { Secret } from '@sealwright/secret'
import fc from 'fast-check'
import { OpenBaoError } from '../error.ts'
import { type Answer } from '../transport.ts'
import {
  batchNames,
  decryptItem,
  encodeBatch,
  encryptItem,
  parseBatch,
  readDecrypted,
  readEncrypted,
} from './batch-messages.ts'

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text)
const secret = (text: string): Secret => new Secret(ascii(text))
const textOf = (value: Secret): string => value.reveal(bytes => Buffer.from(bytes).toString())
const answerOf = (value: unknown, status = 200): Answer => ({
  status,
  request: 'POST transit/decrypt/k',
  serverErrors: [],
  body: ascii(typeof value === 'string' ? value : JSON.stringify(value)),
})
const plain = (text: string, reference: unknown): object => ({
  plaintext: Buffer.from(text).toString('base64'),
  reference,
})

/** Reads decryptions; what is thrown away is kept here, to be looked at. */
function decrypted(answer: Answer, references: readonly string[], discarded: Secret[] = []): readonly string[] {
  const outcomes = parseBatch(answer, references, {
    read: readDecrypted,
    discard: value => discarded.push(value),
    secrets: () => [],
  })
  return outcomes.map(outcome => {
    if (outcome.kind === 'done') return textOf(outcome.value)
    return outcome.error instanceof OpenBaoError ? outcome.error.serverErrors.join() : String(outcome.error)
  })
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof OpenBaoError) return error.code
    throw error
  }
  return 'none'
}

describe('the body of a batch', () => {
  it('holds each item whole, with a reference of its own', () => {
    const heads = [
      encryptItem(secret('one'), Uint8Array.of(1), 7),
      encryptItem(secret('second'), new Uint8Array(), 4_294_967_295),
      decryptItem({ text: 'vault:v1:AAAA', keyVersion: 1 }, Uint8Array.of(255, 0)),
    ]
    const { body, references } = encodeBatch(heads, 'name')
    expect(JSON.parse(Buffer.from(body).toString())).toEqual({
      batch_input: [
        { plaintext: 'b25l', associated_data: 'AQ==', key_version: 7, reference: 'name-0' },
        { plaintext: 'c2Vjb25k', associated_data: '', key_version: 4_294_967_295, reference: 'name-1' },
        { ciphertext: 'vault:v1:AAAA', associated_data: '/wA=', reference: 'name-2' },
      ],
      partial_failure_response_code: 200,
    })
    expect(references).toEqual(['name-0', 'name-1', 'name-2'])
  })

  it('never has the name of another one, and none that can be guessed', () => {
    const [one, other] = [batchNames(), batchNames()]
    const names = Array.from({ length: 50 }, () => [one(), other()]).flat()
    expect(new Set(names).size).toBe(100)
    for (const name of names) expect(name).toMatch(/^[0-9a-f]{24}-\d+$/)
  })
})

describe('the answer to a batch', () => {
  const batch = (items: unknown): unknown => ({ data: { batch_results: items } })

  it('is given item by item, whatever else it holds, and its bytes are wiped', () => {
    const results = [
      { ...plain('one', 'a'), new_field: { deep: [null] } },
      { plaintext: '', error: 'no\u202e\nway', reference: 'b' },
      plain('one more', 'c'),
    ]
    const text = JSON.stringify({ request_id: 'x', data: { more: [{}], batch_results: results }, auth: null })
    // A JSON writer may escape what needs none.
    const good = answerOf(text.replace('b25lIG1vcmU=', 'b25lIG1vcmU\\u003d'))
    expect(decrypted(good, ['a', 'b', 'c'])).toEqual(['one', 'no way', 'one more'])
    expect(good.body.every(byte => byte === 0)).toBe(true)
  })

  it('counts with a status of 400, too: that is how OpenBao answers if all items fail', () => {
    const answer = answerOf(batch([{ plaintext: '', error: 'too old', reference: 'a' }]), 400)
    expect(decrypted(answer, ['a'])).toEqual(['too old'])
    const refused = answerOf({ errors: ['encryption key not found'] }, 400)
    expect(codeOf(() => decrypted(refused, ['a']))).toBe('OPENBAO_BAD_REQUEST')
  })

  it.each<[string, unknown]>([
    ['none at all', { data: {} }],
    ['no data', {}],
    ['data that is null', { data: null }],
    ['no list', batch({ 0: plain('one', 'a') })],
    ['too few', batch([plain('one', 'a')])],
    ['too many', batch([plain('one', 'a'), plain('two', 'b'), plain('three', 'c')])],
    ['swapped', batch([plain('two', 'b'), plain('one', 'a')])],
    ['one twice', batch([plain('one', 'a'), plain('one', 'a')])],
    ['a reference that is missing', batch([plain('one', 'a'), { plaintext: 'dHdv' }])],
    ['a reference that is no text', batch([plain('one', 'a'), plain('two', 1)])],
    ['a reference that is longer', batch([plain('one', 'a'), plain('two', 'b ')])],
    ['an item that is no object', batch([plain('one', 'a'), 'b'])],
    ['a plaintext that is missing', batch([plain('one', 'a'), { reference: 'b' }])],
    ['a plaintext that is null', batch([plain('one', 'a'), { reference: 'b', plaintext: null }])],
    ['a plaintext that is empty', batch([plain('one', 'a'), { reference: 'b', plaintext: '' }])],
    ['a plaintext that is no base64', batch([plain('one', 'a'), { reference: 'b', plaintext: 'dHd*' }])],
    ['an error that is no text', batch([plain('one', 'a'), { reference: 'b', error: {} }])],
    ['an empty error', batch([plain('one', 'a'), { reference: 'b', error: '' }])],
    ['a page', '<html>'],
    ['half of itself', JSON.stringify(batch([plain('one', 'a'), plain('two', 'b')])).slice(0, -4)],
    ['something behind it', `${JSON.stringify(batch([plain('one', 'a'), plain('two', 'b')]))} {}`],
  ])('is refused as a whole, and all of it wiped, if its results are %s', (_, value) => {
    const discarded: Secret[] = []
    const answer = answerOf(value)
    expect(codeOf(() => decrypted(answer, ['a', 'b'], discarded))).toBe('OPENBAO_RESPONSE_MALFORMED')
    expect(answer.body.every(byte => byte === 0)).toBe(true)
  })

  it('throws away what it has read before the item that cannot be read', () => {
    const discarded: Secret[] = []
    const answer = answerOf(batch([plain('one', 'a'), { reference: 'b' }]))
    expect(codeOf(() => decrypted(answer, ['a', 'b'], discarded))).toBe('OPENBAO_RESPONSE_MALFORMED')
    expect(discarded.map(textOf)).toEqual(['one'])
  })

  it('is refused for any order and choice of references but the right one', () => {
    const expected = ['r-0', 'r-1', 'r-2', 'r-3']
    const anyReference = fc.constantFrom(...expected, 'r-4', 'r-', '')
    fc.assert(
      fc.property(fc.array(anyReference, { maxLength: 6 }), references => {
        const answer = answerOf(batch(references.map(reference => plain(`of ${reference}`, reference))))
        const isRight = references.join() === expected.join()
        expect(codeOf(() => decrypted(answer, expected))).toBe(isRight ? 'none' : 'OPENBAO_RESPONSE_MALFORMED')
      }),
      { numRuns: 500, examples: [[[...expected]], [['r-1', 'r-0', 'r-2', 'r-3']]] },
    )
  })

  it('gives every caller the plaintext of its own reference, however many there are', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 20 }), texts => {
        const references = texts.map((_, index) => `r-${index}`)
        const answer = answerOf(batch(texts.map((text, index) => plain(text, `r-${index}`))))
        expect(decrypted(answer, references)).toEqual(texts.map(text => Buffer.from(text).toString()))
      }),
    )
  })

  it.each([
    ['by another version than was asked for', { ciphertext: 'vault:v2:AAAA', key_version: 2 }],
    ['that contradicts itself', { ciphertext: 'vault:v1:AAAA', key_version: 2 }],
    ['that tells no version', { ciphertext: 'vault:v1:AAAA' }],
    ['that is no ciphertext', { ciphertext: 'c2VjcmV0', key_version: 1 }],
    ['that is missing', { key_version: 1 }],
  ])('with a ciphertext %s is refused', (_, item) => {
    const answer = answerOf(batch([{ ...item, reference: 'a' }]))
    const read = (from: Answer, json: Parameters<typeof readEncrypted>[1]): unknown => readEncrypted(from, json, 1)
    expect(codeOf(() => parseBatch(answer, ['a'], { read, discard: () => undefined, secrets: () => [] }))).toBe(
      'OPENBAO_RESPONSE_MALFORMED',
    )
  })
})
