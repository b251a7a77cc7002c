import { hexdumpExcerpt, hexdumpLines } from './hexdump.ts'

const bytes = Buffer.concat([Buffer.from('k8s:enc:kms:v2:sealwright:\n'), Buffer.of(0xff, 0), Buffer.from('ab')])

describe('a hexdump', () => {
  it('is what `hexdump -C` prints', () => {
    expect(hexdumpLines(bytes)).toEqual([
      '00000000  6b 38 73 3a 65 6e 63 3a  6b 6d 73 3a 76 32 3a 73  |k8s:enc:kms:v2:s|',
      '00000010  65 61 6c 77 72 69 67 68  74 3a 0a ff 00 61 62     |ealwright:...ab|',
    ])
    expect(hexdumpLines(new Uint8Array())).toEqual([])
  })

  it('can be cut down to its beginning and the lines with something in it', () => {
    const long = Buffer.concat([bytes, Buffer.alloc(100), Buffer.from('needle'), Buffer.alloc(100)])
    const lines = hexdumpLines(long)
    // 31 + 100 bytes before it: it lies in the ninth line.
    expect(hexdumpExcerpt(long, 2, 'needle')).toEqual([lines[0], lines[1], '…', lines[8]])
    expect(hexdumpExcerpt(long, 8, 'needle')).toEqual([...lines.slice(0, 8), lines[8]])
    expect(hexdumpExcerpt(long, 2, 'absent')).toEqual([lines[0], lines[1]])
    expect(hexdumpExcerpt(long, 2)).toEqual([lines[0], lines[1]])
  })

  it('shows both lines of what lies across two', () => {
    const across = Buffer.concat([Buffer.alloc(44), Buffer.from('needle')])
    expect(hexdumpExcerpt(across, 1, 'needle')).toEqual([
      hexdumpLines(across)[0],
      '…',
      ...hexdumpLines(across).slice(2),
    ])
  })
})
