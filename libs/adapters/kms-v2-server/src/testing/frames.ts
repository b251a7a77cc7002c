import { connect, type Socket } from 'node:net'

/** Frames of HTTP/2 as bytes, for a client that does what no library lets it do (RFC 9113, section 6). */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export const FRAME = { DATA: 0, HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7 } as const

const END_STREAM = 1
const END_HEADERS = 4
const HEADER_BYTES = 9

const NOTHING = new Uint8Array()

interface FrameFields {
  readonly flags?: number
  readonly stream?: number
  readonly payload?: Uint8Array
}

/** One frame: length (3), type (1), flags (1), stream (4), payload. */
export function h2Frame(type: number, { flags = 0, stream = 0, payload = NOTHING }: FrameFields = {}): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUIntBE(payload.byteLength, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

/** The beginning of a connection. */
export function h2Start(settings = NOTHING): Buffer {
  return Buffer.concat([PREFACE, h2Frame(FRAME.SETTINGS, { payload: settings })])
}

/** A whole gRPC call: its headers and its body. */
export function h2Call(stream: number, path: string, body: Uint8Array): Buffer {
  const fields = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'localhost',
    'content-type': 'application/grpc',
  }
  // RFC 7541, section 6.2.2: without indexing, with a new name. Lengths below 127 are one byte.
  const block = Object.entries(fields).map(([name, value]) =>
    Buffer.concat([Uint8Array.of(0, name.length), Buffer.from(name), Uint8Array.of(value.length), Buffer.from(value)]),
  )
  return Buffer.concat([
    h2Frame(FRAME.HEADERS, { flags: END_HEADERS, stream, payload: Buffer.concat(block) }),
    h2Frame(FRAME.DATA, { flags: END_STREAM, stream, payload: body }),
  ])
}

/** A frame that came back. */
export interface ReceivedFrame {
  readonly type: number
  readonly stream: number
  readonly payload: Buffer
}

/** A connection whose client reads, or does not. */
export interface FrameClient {
  readonly socket: Socket
  /** What has come so far, in whole frames. */
  readonly received: () => readonly ReceivedFrame[]
  readonly closed: Promise<void>
}

export function frameClient(path: string): FrameClient {
  const socket = connect(path)
  const parts: Buffer[] = []
  socket.on('data', part => parts.push(part))
  // Who is cut off learns it by 'close'.
  socket.on('error', () => socket.destroy())
  return {
    socket,
    received: () => framesIn(Buffer.concat(parts)),
    closed: new Promise(resolve => {
      socket.on('close', () => {
        resolve()
      })
    }),
  }
}

function framesIn(bytes: Buffer): readonly ReceivedFrame[] {
  const frames: ReceivedFrame[] = []
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const end = at + HEADER_BYTES + bytes.readUIntBE(at, 3)
    if (end > bytes.length) break
    frames.push({
      type: bytes.readUInt8(at + 3),
      stream: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + HEADER_BYTES, end),
    })
    at = end
  }
  return frames
}
