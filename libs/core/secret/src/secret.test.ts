import { Console } from 'node:console'
import { PassThrough } from 'node:stream'
import { format, inspect } from 'node:util'
import { spellingsOf } from '@sealwright/testing-checks'

import { Secret } from './secret.ts'

const text = 'correct horse battery staple'
const make = () => new Secret(new TextEncoder().encode(text))

/** Every way in which the bytes could show up in printed text. */
const spellings = [text, ...spellingsOf(Buffer.from(text))]

/** What a console writes for `values`. */
function consoleOutput(...values: readonly unknown[]): string {
  const stream = new PassThrough()
  const target = new Console({ stdout: stream, stderr: stream })
  target.log(...values)
  target.dir(values, { depth: null, showHidden: true })
  target.error('%s %o %O %j', ...values, ...values, ...values, ...values)
  target.table(values)
  return String(stream.read())
}

describe('a secret never shows its bytes', () => {
  const secret = make()
  const nested = { list: [secret], map: new Map([['key', secret]]), set: new Set([secret]) }
  const error = new Error(`could not use ${secret.toString()}`, { cause: secret })
  const prints: readonly (readonly [string, () => string])[] = [
    ['toString', () => secret.toString()],
    ['a template string', () => `<${secret as unknown as string}>`],
    ['concatenation', () => 'key: ' + (secret as unknown as string)],
    ['JSON', () => JSON.stringify(secret)],
    ['nested JSON', () => JSON.stringify({ ...nested, secret })],
    ['inspect', () => inspect(secret)],
    ['inspect with everything shown', () => inspect(nested, { showHidden: true, depth: null, getters: true })],
    ['inspect without custom printing', () => inspect(secret, { customInspect: false, showHidden: true, depth: null })],
    ['util.format', () => format('%s %o %O %j', secret, secret, secret, secret)],
    ['console', () => consoleOutput(secret, nested)],
    ['an error that has it as its cause', () => inspect(error, { showHidden: true, depth: null })],
    ['the console printing that error', () => consoleOutput(error)],
    [
      'its own keys',
      () => JSON.stringify([Object.entries(secret), Reflect.ownKeys(secret).map(String), Object.assign({}, secret)]),
    ],
    ['a structured clone', () => inspect(structuredClone(secret), { showHidden: true, customInspect: false })],
  ]

  it.each(prints)('in %s', (_way, print) => {
    const printed = print()
    for (const spelling of spellings) expect(printed).not.toContain(spelling)
  })

  it('says that it is one', () => {
    expect([secret.toString(), JSON.stringify(secret), inspect(secret)]).toEqual(['[secret]', '"[secret]"', '[secret]'])
  })
})

describe('wiping a secret', () => {
  it('overwrites its bytes', () => {
    const secret = make()
    const bytes = secret.reveal(inside => inside)
    secret.wipe()
    expect(bytes.every(byte => byte === 0)).toBe(true)
  })

  it('makes it unusable, so that zeros are never taken for a key', () => {
    const secret = make()
    secret.wipe()
    expect(() => secret.reveal(bytes => bytes)).toThrow(TypeError)
    expect(() => secret.clone()).toThrow(TypeError)
    expect(() => secret.equals(make())).toThrow(TypeError)
    expect(() => make().equals(secret)).toThrow(TypeError)
  })

  it('may happen twice', () => {
    const secret = make()
    secret.wipe()
    expect(() => {
      secret.wipe()
    }).not.toThrow()
  })

  it('happens at the end of its scope', () => {
    const secret = make()
    const bytes = secret.reveal(inside => inside)
    secret[Symbol.dispose]()
    expect(bytes.every(byte => byte === 0)).toBe(true)
  })

  it('leaves a clone alone', () => {
    const secret = make()
    const clone = secret.clone()
    secret.wipe()
    expect(clone.reveal(bytes => new TextDecoder().decode(bytes))).toBe(text)
  })
})

describe('comparing secrets', () => {
  const secret = make()

  it('finds equal bytes equal', () => {
    expect(secret.equals(make())).toBe(true)
    expect(secret.equals(secret)).toBe(true)
  })

  it('finds a difference in any byte', () => {
    for (let index = 0; index < text.length; index += 1) {
      const bytes = new TextEncoder().encode(text)
      bytes[index] = 0
      expect(secret.equals(new Secret(bytes))).toBe(false)
    }
  })

  it('finds another length different', () => {
    expect(secret.equals(new Secret(new TextEncoder().encode(text.slice(1))))).toBe(false)
    expect(secret.equals(new Secret(new Uint8Array()))).toBe(false)
  })
})

describe('making a secret', () => {
  it('moves the bytes: those it was given are overwritten', () => {
    const bytes = new TextEncoder().encode(text)
    const secret = new Secret(bytes)
    expect(bytes.every(byte => byte === 0)).toBe(true)
    expect(secret.reveal(inside => new TextDecoder().decode(inside))).toBe(text)
  })

  it('keeps them in a buffer of their own', () => {
    const larger = Buffer.alloc(100, 7)
    const secret = new Secret(larger.subarray(10, 42))
    expect(secret.reveal(inside => inside.buffer.byteLength)).toBe(32)
    expect(larger.filter(byte => byte === 7)).toHaveLength(68)
  })
})

describe('using a secret', () => {
  it('hands the bytes to one function and returns its result', () => {
    expect(make().reveal(bytes => bytes.byteLength)).toBe(text.length)
    expect(make().byteLength).toBe(text.length)
  })
})
