import fc from 'fast-check'
import { createLineEditor, type Typed } from './line-editor.ts'

const MAX_BYTES = 16

/** What comes of each byte that leads to something, lines as text. */
function typed(text: string | Uint8Array): readonly string[] {
  using editor = createLineEditor(MAX_BYTES)
  const told = (result: Typed): string[] => {
    if (result.kind === 'more') return []
    return [result.kind === 'line' ? result.line.reveal(bytes => Buffer.from(bytes).toString('latin1')) : result.kind]
  }
  return [...Buffer.from(text)].flatMap(byte => told(editor.type(byte)))
}

describe('a line that is typed', () => {
  it.each([
    ['ends with a carriage return, a line feed or both', 'one\rtwo\nthree\r\nfour\n', ['one', 'two', 'three', 'four']],
    ['may be empty', '\r\r', ['', '']],
    ['can be mended with backspace', 'ab\b\bc\x7fd\r', ['d']],
    ['can be taken back with Ctrl-U', 'wrong\x15right\r', ['right']],
    ['takes no harm from backspace at its beginning', '\b\x7fa\r', ['a']],
    ['takes nothing from arrows and function keys', 'a\x1b[Ab\x1b[15~c\x1b[1;5Cd\r', ['abcd']],
    ['takes what is typed after a bare Escape', 'a\x1bb\r', ['ab']],
    ['takes no other control characters', 'a\tb\x00c\x07\r', ['abc']],
    ['is given up by Ctrl-C', 'secret\x03next\r', ['interrupt', 'next']],
    ['is the last one after Ctrl-D, unless something stands in it', 'a\x04\r\x04', ['a', 'end']],
    ['shows that it was too long', `${'x'.repeat(40)}\r`, ['x'.repeat(MAX_BYTES + 1)]],
    ['can be shortened after it was too long', `${'x'.repeat(40)}\x7f\x7f\r`, ['x'.repeat(MAX_BYTES - 1)]],
  ])('%s', (_what, text, expected) => {
    expect(typed(text)).toEqual(expected)
  })

  it('is what was typed, if it was printable', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[ -~]{0,16}$/)), lines => {
        expect(typed(lines.map(line => `${line}\r`).join(''))).toEqual(lines)
      }),
    )
  })

  it('never has a control character, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        for (const line of typed(Uint8Array.from([...bytes, 13]))) expect(line).not.toMatch(/[^ -~\x80-\xff]/)
      }),
    )
  })
})
