import fc from 'fast-check'
import { REQUEST_MARKER, REQUEST_MAX_BYTES, type RequestFindings, createRequestStream } from './request-stream.ts'

const ID = '0b8c6cd0-93ff-4c4f-9d0c-3f2f1a0e9b11'
const DER = Buffer.alloc(600, 0x5a)
const REQUEST = `${REQUEST_MARKER}${ID} ${DER.toString('base64')}\n`

function pushAll(...chunks: readonly (string | Buffer)[]): RequestFindings {
  const stream = createRequestStream()
  const found = chunks.map(chunk => stream.push(Buffer.from(chunk)))
  return {
    requests: found.flatMap(each => each.requests),
    droppedBytes: found.reduce((sum, each) => sum + each.droppedBytes, 0),
    droppedLines: found.reduce((sum, each) => sum + each.droppedLines, 0),
  }
}

describe('createRequestStream', () => {
  it('reads one request', () => {
    expect(pushAll(REQUEST)).toEqual({
      requests: [{ sessionId: ID, certificateDer: DER, byteLength: REQUEST.length - 1 }],
      droppedBytes: 0,
      droppedLines: 0,
    })
  })

  it('finds each request whole, however the bytes are cut into pieces', () => {
    const bytes = Buffer.from(REQUEST.repeat(3))
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 40 }), cuts => {
        const ends = [...new Set(cuts), bytes.length].sort((a, b) => a - b)
        const chunks = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
        expect(pushAll(...chunks)).toMatchObject({ requests: { length: 3 }, droppedBytes: 0 })
      }),
    )
  })

  it('finds a request behind any foreign bytes that hold no newline', () => {
    const junk = fc.uint8Array({ maxLength: 20_000 }).map(bytes => Buffer.from(bytes.filter(byte => byte !== 0x0a)))
    fc.assert(
      fc.property(junk, foreign => {
        const found = pushAll(foreign, REQUEST)
        expect(found.requests.map(request => request.sessionId)).toEqual([ID])
        expect(found.droppedBytes).toBe(foreign.length)
      }),
    )
  })

  it('finds a request behind half a request of somebody else', () => {
    const half = `${REQUEST_MARKER}0b8c6cd0-93ff-4c4f-9d0c-3f2f1a0e9b12 AAAA`
    expect(pushAll(half, REQUEST).requests.map(request => request.sessionId)).toEqual([ID])
  })

  it.each([
    ['no certificate', `${REQUEST_MARKER}${ID}\n`],
    ['an empty certificate', `${REQUEST_MARKER}${ID} \n`],
    ['an id with capitals', REQUEST.replace(ID, ID.toUpperCase())],
    ['an id that climbs out of the folder', REQUEST.replace(ID, '../../../../etc/passwd')],
    ['base64 of another alphabet', `${REQUEST_MARKER}${ID} AA_-\n`],
    ['another version', REQUEST.replace('connector-1', 'connector-2')],
    ['a carriage return', REQUEST.replace('\n', '\r\n')],
  ])('drops a line with %s', (_name, line) => {
    expect(pushAll(line)).toEqual({ requests: [], droppedBytes: line.length - 1, droppedLines: 1 })
  })

  it('drops every truncation of a request', () => {
    for (let length = 1; length < REQUEST.length - 1; length++) {
      // Base64 of whole groups stays base64: what it holds is looked at by the certificate parser.
      const found = pushAll(`${REQUEST.slice(0, length)}\n`)
      const isShorterBase64 = length > REQUEST_MARKER.length + ID.length + 1
      expect(found.requests).toHaveLength(isShorterBase64 ? 1 : 0)
    }
  })

  it('keeps at most one request of an endless line', () => {
    const stream = createRequestStream()
    let dropped = 0
    for (let piece = 0; piece < 64; piece++) dropped += stream.push(Buffer.alloc(65_536, 0x78)).droppedBytes
    expect(64 * 65_536 - dropped).toBe(REQUEST_MAX_BYTES)
  })

  it('does not count empty lines as junk', () => {
    expect(pushAll('\n\n\n')).toEqual({ requests: [], droppedBytes: 0, droppedLines: 0 })
  })
})
