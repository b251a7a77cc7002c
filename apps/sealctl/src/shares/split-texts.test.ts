import fc from 'fast-check'
import { splitShareTexts } from './split-texts.ts'

function split(text: string): readonly string[] {
  const bytes = Buffer.from(text)
  const texts = splitShareTexts(bytes).map(share => share.reveal(found => Buffer.from(found).toString()))
  expect(bytes.every(byte => byte === 0)).toBe(true)
  return texts
}

describe('the shares in a text', () => {
  it.each([
    ['a share alone', 'sw-share-1-aaa', ['sw-share-1-aaa']],
    ['a card', '# share 1 of 3\n# of a cluster\nsw-share-1-aaa\n', ['sw-share-1-aaa']],
    ['two in a row', 'sw-share-1-aaa\nSW-SHARE-1-BBB\r\n', ['sw-share-1-aaa', 'SW-SHARE-1-BBB']],
    ['one in several lines', ' sw-share-1-aaa\n\tbbb  \n ccc-ddd\n', ['sw-share-1-aaa bbb ccc-ddd']],
    [
      'two with an empty line between',
      'sw-share-1-aaa\nbbb\n\nsw-share-1-ccc',
      ['sw-share-1-aaa bbb', 'sw-share-1-ccc'],
    ],
    ['what is none', 'hello\n\nworld\n', ['hello', 'world']],
    ['nothing', '\n# \n\n', []],
    ['nothing at all', '', []],
  ])('are found in %s', (_what, text, expected) => {
    expect(split(text)).toEqual(expected)
  })

  it('are found wherever there are any, and nothing is left out but blanks and remarks', () => {
    const share = fc.stringMatching(/^sw-share-1-[0-9a-z]{6}$/)
    const between = fc.constantFrom('\n', '\r\n', '\n\n', '\n# a remark\n', '\n  \n')
    fc.assert(
      fc.property(fc.array(fc.tuple(share, between)), pieces => {
        expect(split(pieces.flat().join(''))).toEqual(pieces.map(([text]) => text))
      }),
    )
  })
})
