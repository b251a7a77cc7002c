import fc from 'fast-check'
import { OpenBaoError, parseAddress } from './index.ts'

const strict = { unsafelyAllowPlainHttp: false }

function codeOf(address: string, options = strict): string {
  try {
    return parseAddress(address, options).kind
  } catch (error) {
    if (error instanceof OpenBaoError) return error.code
    throw error
  }
}

describe('parseAddress', () => {
  it.each([
    ['https://bao.example:8200', { kind: 'https', origin: 'https://bao.example:8200', hostname: 'bao.example' }],
    ['https://bao.example/', { kind: 'https', origin: 'https://bao.example', hostname: 'bao.example' }],
    ['https://[2001:db8::1]:8200', { kind: 'https', origin: 'https://[2001:db8::1]:8200', hostname: '2001:db8::1' }],
    ['http://127.0.0.1:8200', { kind: 'http', origin: 'http://127.0.0.1:8200' }],
    ['http://127.1.2.3:8200', { kind: 'http', origin: 'http://127.1.2.3:8200' }],
    ['http://[::1]:8200', { kind: 'http', origin: 'http://[::1]:8200' }],
    ['http://localhost:8200', { kind: 'http', origin: 'http://localhost:8200' }],
    ['unix:/run/openbao/api.sock', { kind: 'unix', socketPath: '/run/openbao/api.sock' }],
  ])('takes %s', (address, expected) => {
    expect(parseAddress(address, strict)).toEqual(expected)
  })

  it.each([
    'http://bao.example:8200',
    'http://10.0.0.1:8200',
    'http://0.0.0.0:8200',
    'http://[::]:8200',
    'http://127.0.0.1.example:8200',
    'http://localhost.example',
    'https://user:password@bao.example',
    'https://user@bao.example',
    'https://bao.example/v1',
    'https://bao.example/?a=1',
    'https://bao.example/?',
    'https://bao.example/#',
    'https://bao.example:0',
    'https://bao.example:99999',
    'ftp://bao.example',
    'bao.example:8200',
    '127.0.0.1:8200',
    '',
    'https://',
    'unix:relative.sock',
    'unix://run/api.sock'.replace('//', ''),
    'unix:',
    `unix:/${'x'.repeat(107)}`,
    'unix:/a\0b',
  ])('refuses %j', address => {
    expect(codeOf(address)).toBe('OPENBAO_ADDRESS_INVALID')
  })

  it('takes plain http to other hosts only when asked for in so many words', () => {
    expect(codeOf('http://bao.example:8200', { unsafelyAllowPlainHttp: true })).toBe('http')
  })

  it('never shows a password', () => {
    expect(() => parseAddress('https://user:hunter2@bao.example', strict)).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('hunter2') as unknown }) as Error,
    )
  })

  it('gives an address or its one code, whatever it is given', () => {
    const addresses = fc.oneof(
      fc.string(),
      fc.webUrl(),
      fc
        .tuple(fc.constantFrom('http://', 'https://', 'unix:'), fc.string({ unit: 'grapheme' }))
        .map(parts => parts.join('')),
    )
    fc.assert(
      fc.property(addresses, address => {
        expect(['https', 'http', 'unix', 'OPENBAO_ADDRESS_INVALID']).toContain(codeOf(address))
      }),
    )
  })

  it('finds every spelling of a loopback IPv4 address, and nothing else, good enough for plain http', () => {
    fc.assert(
      fc.property(fc.ipV4Extended(), host => {
        const expected = new URL(`http://${host}`).hostname.startsWith('127.') ? 'http' : 'OPENBAO_ADDRESS_INVALID'
        expect(codeOf(`http://${host}`)).toBe(expected)
      }),
    )
  })
})
