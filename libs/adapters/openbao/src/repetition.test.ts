import { createHash } from 'node:crypto'
import { Secret } from '@sealwright/secret'
import fc from 'fast-check'
import { repeats } from './repetition.ts'

const secret = (bytes: Uint8Array): Secret => new Secret(Uint8Array.from(bytes))
const ascii = (text: string): Secret => new Secret(new TextEncoder().encode(text))
const hexBytes = (bytes: Buffer): readonly string[] => [...bytes].map(byte => byte.toString(16).padStart(2, '0'))
const hex = (bytes: Buffer): string => bytes.toString('hex')
const base64 = (bytes: Buffer): string => bytes.toString('base64')

/** How programs write bytes that should not be shown. */
const SPELLINGS: readonly (readonly [string, (bytes: Buffer) => string])[] = [
  ['hex', hex],
  ['hex in capitals', bytes => hex(bytes).toUpperCase()],
  ['hex with colons', bytes => hexBytes(bytes).join(':')],
  ['hex of a C array', bytes => hexBytes(bytes).join(', 0x')],
  ['hex escapes', bytes => `"\\x${hexBytes(bytes).join('\\x')}"`],
  ['octal escapes', bytes => [...bytes].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('')],
  ['base64', base64],
  ['base64 without padding', bytes => base64(bytes).replace(/=+$/, '')],
  ['base64 for addresses', bytes => bytes.toString('base64url')],
  ['base64 in lines', bytes => base64(bytes).replace(/.{12}/g, '$&\r\n')],
  ['base64 with escaped slashes', bytes => base64(bytes).replaceAll('/', '\\/')],
  ['base64 with escaped signs', bytes => base64(bytes).replace(/[+/=]/g, sign => `\\u00${hex(Buffer.from(sign))}`)],
  ['base64 in an address', bytes => encodeURIComponent(base64(bytes))],
  ['base64 in an address, twice', bytes => encodeURIComponent(encodeURIComponent(base64(bytes)))],
  ['base64 in HTML', bytes => base64(bytes).replace(/[+/=]/g, sign => `&#${sign.charCodeAt(0)};`)],
  ['base64 in HTML, by hex', bytes => base64(bytes).replace(/[+/=]/g, sign => `&#x${hex(Buffer.from(sign))};`)],
  ['base64 of a body with base64', bytes => base64(Buffer.from(`{"batch_input":[{"plaintext":"${base64(bytes)}"}`))],
  ['base64 of a line with hex', bytes => base64(Buffer.from(`key=${hex(bytes)}`))],
  ['hex of a body with base64', bytes => hex(Buffer.from(`{"plaintext":"${base64(bytes)}"}`))],
  ['numbers', bytes => [...bytes].join(',')],
  ['numbers in a list of Go', bytes => `[${[...bytes].join(' ')}]`],
  ['numbers with a sign', bytes => [...new Int8Array(bytes)].join(', ')],
  ['numbers of a body with base64', bytes => [...Buffer.from(`{"plaintext":"${base64(bytes)}"}`)].join(' ')],
  ['one character each', bytes => bytes.toString('latin1')],
  ['JSON of one character each', bytes => JSON.stringify(bytes.toString('latin1'))],
]

describe.each(SPELLINGS)('a key in %s', (_, spell) => {
  const anyKey = fc.uint8Array({ minLength: 32, maxLength: 64 }).filter(bytes => new Set(bytes).size > 4)
  const anyWords = fc.constantFrom('', 'bad: ', 'denied for "', '1 error occurred:\n\t* invalid request ', 'a', 'ab12 ')

  it('is found, wherever it stands', () => {
    fc.assert(
      fc.property(anyKey, anyWords, anyWords, (bytes, before, after) => {
        const text = `${before}${spell(Buffer.from(bytes))} ${after}`
        expect(repeats(text, [ascii('s.another-secret'), secret(bytes)])).toBe(true)
      }),
    )
  })

  it('is found if its end was cut off', () => {
    fc.assert(
      fc.property(anyKey, bytes => {
        const text = spell(Buffer.from(bytes))
        expect(repeats(`${text.slice(0, Math.ceil(text.length * 0.7))}…`, [secret(bytes)])).toBe(true)
      }),
    )
  })

  it('is not taken for another', () => {
    fc.assert(
      fc.property(anyKey, bytes => {
        const other = createHash('sha256').update(bytes).digest()
        expect(repeats(`denied: ${spell(Buffer.from(bytes))}`, [secret(other)])).toBe(false)
      }),
    )
  })
})

describe('a token', () => {
  const token = 's.Gf8pLr2WmXz0QkYtVbN4cJd7'

  it.each([
    ['as it is', token],
    ['in a header', `X-Vault-Token: ${token}\r\nAccept: */*`],
    ['in an address', `/v1/x?token=${token.replaceAll('.', '%2e')}`],
    ['in JSON in JSON', JSON.stringify(JSON.stringify({ 'x-vault-token': [token] }))],
    ['cut', `token ${token.slice(0, 12)}...`],
    ['as a login', Buffer.from(`user:${token}`).toString('base64')],
  ])('is found %s', (_, text) => {
    expect(repeats(text, [ascii(token)])).toBe(true)
  })

  it('is found if it is short, and not if it is shorter than any', () => {
    expect(repeats('denied for root', [ascii('root')])).toBe(true)
    expect(repeats('denied for root', [ascii('ro')])).toBe(false)
  })

  it('is taken for repeated if it was wiped, since nobody can tell', () => {
    const wiped = ascii(token)
    wiped.wipe()
    expect(repeats('permission denied', [wiped])).toBe(true)
    expect(repeats('permission denied', [])).toBe(false)
  })
})

it('nothing that OpenBao says is taken for a secret by chance', () => {
  const texts = [
    'permission denied',
    'cipher: message authentication failed',
    'ciphertext or signature version is disallowed by policy (too old)',
    "1 error occurred:\n\t* failed to parse batch input: '[5].ciphertext' missing ciphertext to decrypt\n\n",
    'no handler for route "auth/kubernetes-production-eu-west-1/login". route entry not found.',
    'request path "transit/encrypt/kubernetes": rate limit quota exceeded',
  ]
  fc.assert(
    fc.property(fc.constantFrom(...texts), fc.uint8Array({ minLength: 32, maxLength: 32 }), (text, bytes) => {
      expect(repeats(text, [secret(bytes)])).toBe(false)
    }),
    { numRuns: 500 },
  )
})
