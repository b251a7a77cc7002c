import fc from 'fast-check'
import { allocateFrame, FRAME_HEADER_BYTES, frameOf, RequestReader } from './frame.ts'
import { type Refusal } from './status.ts'

const MAX_BYTES = 2000

/** Reads a body that comes in the given parts. The parts stay the test's: it looks at what became of them. */
function read(parts: readonly Uint8Array[], maxMessageBytes = MAX_BYTES): Uint8Array | Refusal {
  const reader = new RequestReader(maxMessageBytes)
  for (const part of parts) reader.push(part)
  return reader.end()
}

function statusOf(outcome: Uint8Array | Refusal): string {
  return outcome instanceof Uint8Array ? 'message' : outcome.status
}

/** Cuts copies of the parts of a body. */
function cut(body: Uint8Array, places: readonly number[]): Uint8Array[] {
  const borders = [0, ...[...places].sort((a, b) => a - b), body.length]
  return borders.slice(1).map((end, index) => Uint8Array.from(body.subarray(borders[index], end)))
}

function isWiped(bytes: Uint8Array): boolean {
  return bytes.every(byte => byte === 0)
}

const message = fc.uint8Array({ maxLength: MAX_BYTES })
/** A frame, cut at up to ten places. */
const cutFrame = message.chain(bytes =>
  fc
    .array(fc.nat({ max: bytes.length + FRAME_HEADER_BYTES }), { maxLength: 10 })
    .map(places => ({ bytes, parts: cut(frameOf(bytes), places) })),
)

describe('a frame', () => {
  it.each([0, 1, 255, 256, 65_536, 16_777_216])('says the length of %d bytes', byteLength => {
    const header = Uint8Array.from([0, byteLength >>> 24, byteLength >>> 16, byteLength >>> 8, byteLength])
    expect(allocateFrame(byteLength).subarray(0, FRAME_HEADER_BYTES)).toEqual(header)
    expect(new Uint8Array(frameOf(new Uint8Array(byteLength)).subarray(0, FRAME_HEADER_BYTES))).toEqual(header)
  })
})

describe('reading the message of a request', () => {
  it('gives the message, however it is cut', () => {
    fc.assert(
      fc.property(cutFrame, ({ bytes, parts }) => {
        expect(Buffer.from(read(parts) as Uint8Array)).toEqual(Buffer.from(bytes))
      }),
    )
  })

  it('gives the message when each byte comes alone', () => {
    const bytes = Uint8Array.from({ length: 700 }, (_, index) => index)
    const each = Array.from(frameOf(bytes), byte => Uint8Array.of(byte))
    expect(read(each)).toEqual(bytes)
  })

  it('gives the message at each single cut', () => {
    const bytes = Uint8Array.from({ length: 40 }, (_, index) => index + 1)
    const frame = frameOf(bytes)
    for (let place = 0; place <= frame.length; place += 1)
      expect(Buffer.from(read(cut(frame, [place])) as Uint8Array)).toEqual(Buffer.from(bytes))
  })

  it('refuses each truncation', () => {
    const frame = frameOf(new Uint8Array(40).fill(1))
    const outcomes = Array.from({ length: frame.length }, (_, length) =>
      statusOf(read([Uint8Array.from(frame.subarray(0, length))])),
    )
    expect(outcomes).toEqual(['UNIMPLEMENTED', ...Array<string>(frame.length - 1).fill('INVALID_ARGUMENT')])
  })

  it('refuses what comes after the message, wherever it is cut', () => {
    fc.assert(
      fc.property(
        message,
        fc.uint8Array({ minLength: 1, maxLength: 50 }),
        fc.nat({ max: 100 }),
        (bytes, more, place) => {
          const body = Buffer.concat([frameOf(bytes), more])
          expect(statusOf(read(cut(body, [Math.min(place, body.length)])))).toBe('UNIMPLEMENTED')
          expect(statusOf(read([frameOf(bytes), more]))).toBe('UNIMPLEMENTED')
        },
      ),
    )
  })

  it('refuses two messages', () => {
    expect(statusOf(read([frameOf(Uint8Array.of(1)), frameOf(Uint8Array.of(2))]))).toBe('UNIMPLEMENTED')
  })

  it('refuses a compressed message, and a flag that nobody knows', () => {
    expect(read([Uint8Array.of(1, 0, 0, 0, 1, 7)])).toEqual({
      status: 'UNIMPLEMENTED',
      message: 'compressed messages are not taken',
    })
    expect(statusOf(read([Uint8Array.of(2, 0, 0, 0, 1, 7)]))).toBe('INVALID_ARGUMENT')
  })

  it('refuses a length over the limit as soon as it is read, and takes the limit itself', () => {
    const reader = new RequestReader(10)
    expect(reader.push(Uint8Array.of(0, 0, 0, 0, 11))).toMatchObject({ status: 'RESOURCE_EXHAUSTED' })
    expect(statusOf(read([frameOf(new Uint8Array(10))], 10))).toBe('message')
    expect(statusOf(read([frameOf(new Uint8Array(11))], 10))).toBe('RESOURCE_EXHAUSTED')
    expect(statusOf(read([Uint8Array.of(0, 255, 255, 255, 255)]))).toBe('RESOURCE_EXHAUSTED')
  })

  it('keeps nothing of what comes after a refusal', () => {
    const reader = new RequestReader(10)
    const refusal = reader.push(Uint8Array.of(0, 0, 0, 0, 11))
    const more = new Uint8Array(1000).fill(7)
    expect(reader.push(more)).toBe(refusal)
    expect(isWiped(more)).toBe(true)
    expect(reader.end()).toBe(refusal)
  })

  it('takes any bytes at all without throwing, and keeps none of them in a part that it has copied', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 8 }), parts => {
        const given = parts.map(part => Uint8Array.from(part))
        const outcome = read(given)
        expect(['message', 'UNIMPLEMENTED', 'INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED']).toContain(statusOf(outcome))
        const kept = given.filter(part => !isWiped(part))
        // The one part that is the whole frame is handed out as it is.
        if (kept.length > 0) expect(kept.map(({ buffer }) => buffer)).toEqual([(outcome as Uint8Array).buffer])
      }),
      { numRuns: 1000 },
    )
  })

  it('keeps in memory of its own what it is told to, and leaves nothing where it lay', () => {
    const bytes = Uint8Array.from({ length: 40 }, (_, index) => index + 1)
    const readWith = new Uint8Array(60_000)
    readWith.set(frameOf(bytes), 100)
    const reader = new RequestReader(MAX_BYTES)
    reader.push(readWith.subarray(100, 100 + FRAME_HEADER_BYTES + bytes.length))
    reader.own()
    expect([isWiped(readWith.subarray(100 + FRAME_HEADER_BYTES)), reader.heldBytes]).toEqual([true, 40])
    const message = reader.end() as Uint8Array
    expect([Buffer.from(message), message.buffer.byteLength]).toEqual([Buffer.from(bytes), 40])
  })

  it('says what memory it takes: what has come, not what was announced', () => {
    const reader = new RequestReader(100_000)
    expect(reader.heldBytes).toBe(0)
    reader.push(Uint8Array.of(0, 0, 1, 0, 0))
    const begun = reader.heldBytes
    reader.push(new Uint8Array(3000))
    expect([begun, reader.heldBytes]).toEqual([512, 3000])
    reader.own()
    expect(reader.heldBytes).toBe(3000)
    reader.wipe()
    expect(reader.heldBytes).toBe(0)
  })

  it('overwrites what has come when it is told to', () => {
    const whole = frameOf(new Uint8Array(40).fill(7))
    const reader = new RequestReader(MAX_BYTES)
    reader.push(whole)
    reader.wipe()
    expect(isWiped(whole.subarray(FRAME_HEADER_BYTES))).toBe(true)
    expect(statusOf(reader.end())).toBe('INVALID_ARGUMENT')
  })
})
