import { Secret } from '@sealwright/secret'
import { quote, quotePublic } from './quoting.ts'

const token = new Secret(new TextEncoder().encode('s.Gf8pLr2WmXz0QkYtVbN4cJd7'))

describe('a text of a server', () => {
  it.each([
    ['permission denied', 'permission denied'],
    ['a\nb\u001b[31mc\u202e', 'a b [31mc'],
    ['no way '.repeat(100), `${'no way '.repeat(43).slice(0, 300)}…`],
    [
      'no handler for route "auth/kubernetes-production-eu/login"',
      'no handler for route "auth/kubernetes-production-eu/login"',
    ],
    ['accessor 8c3b0f5e-8c3b-0f5e-8c3b-0f5e8c3b0f5e', 'accessor 8c3b0f5e-8c3b-0f5e-8c3b-0f5e8c3b0f5e'],
    ['your token is s.Gf8pLr2WmXz0QkYtVbN4cJd7', 'a text that repeats a secret'],
    ['your token is s.Gf8pLr2W', 'a text that repeats a secret'],
    ['this is s.AnotherTokenOfWhich0Know', 'this is […]'],
    [`key ${'0123456789abcdef'.repeat(4)}!`, 'key […]!'],
    [`plaintext "${Buffer.alloc(32, 'aZ9').toString('base64')}"`, 'plaintext "[…]"'],
  ])('%j stands in messages as %j', (text, expected) => {
    expect(quote(text, [token])).toBe(expected)
  })

  it('is not quoted for what it says far behind', () => {
    expect(quote(`${' '.repeat(500)}s.Gf8pLr2WmXz0QkYtVbN4cJd7`, [token])).toBe('a text that repeats a secret')
    expect(quote(`${' '.repeat(10_000)}s.Gf8pLr2WmXz0QkYtVbN4cJd7`, [token])).toBe('')
  })

  it('before any secret is shortened only', () => {
    expect(quotePublic(`DNS:a.example\n${'x'.repeat(9_999)}`)).toBe(`DNS:a.example ${'x'.repeat(286)}…`)
  })
})
