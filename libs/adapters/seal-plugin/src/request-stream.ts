/** Starts each request; the number is the version of this little protocol between connector and agent. */
export const REQUEST_MARKER = 'sealwright-connector-1 '

/**
 * Longest request with its newline, in bytes: `PIPE_BUF` of Linux. A connector writes a request at once, and the
 * kernel never mixes a write of up to this size with the writes of others.
 */
export const REQUEST_MAX_BYTES = 4096

const NEWLINE = 0x0a
const SESSION_ID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const REQUEST = new RegExp(`^(${SESSION_ID}) ([A-Za-z0-9+/]+={0,2})$`)

/** What a connector asks for: a session of this id for the holder of this certificate (DER, unchecked). */
export interface SessionRequest {
  readonly sessionId: string
  readonly certificateDer: Buffer
  /** Size of the request on the pipe. */
  readonly byteLength: number
}

/** What was found in the bytes that were pushed. */
export interface RequestFindings {
  readonly requests: readonly SessionRequest[]
  readonly droppedBytes: number
  readonly droppedLines: number
}

/**
 * Cuts the byte stream of the request pipe into requests.
 *
 * Anybody in the group may write to that pipe, whole lines or pieces. Since a request is one atomic write that ends
 * with its newline, all that can stand before it on its line is foreign: a request is what follows the last marker.
 * So nothing is kept between lines, and of an unfinished line only its last {@link REQUEST_MAX_BYTES}.
 */
export function createRequestStream(): { push(chunk: Buffer): RequestFindings } {
  let unfinished: Buffer = Buffer.alloc(0)

  return {
    push(chunk) {
      const requests: SessionRequest[] = []
      let droppedBytes = 0
      let droppedLines = 0
      let start = 0
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
        const line = join(unfinished, chunk.subarray(start, end))
        droppedBytes += line.droppedBytes
        unfinished = Buffer.alloc(0)
        start = end + 1
        const found = parseLine(line.bytes)
        if (found.request) requests.push(found.request)
        if (found.foreignBytes > 0) droppedLines += 1
        droppedBytes += found.foreignBytes
      }
      const rest = join(unfinished, chunk.subarray(start))
      droppedBytes += rest.droppedBytes
      // A copy: a view would keep the whole chunk alive.
      unfinished = Buffer.from(rest.bytes)
      return { requests, droppedBytes, droppedLines }
    },
  }
}

/** Both pieces in one, cut to its last {@link REQUEST_MAX_BYTES}. */
function join(head: Buffer, tail: Buffer): { readonly bytes: Buffer; readonly droppedBytes: number } {
  const byteLength = head.byteLength + tail.byteLength
  const droppedBytes = Math.max(0, byteLength - REQUEST_MAX_BYTES)
  if (tail.byteLength >= REQUEST_MAX_BYTES) return { bytes: tail.subarray(-REQUEST_MAX_BYTES), droppedBytes }
  if (head.byteLength === 0) return { bytes: tail, droppedBytes }
  return { bytes: Buffer.concat([head, tail]).subarray(-REQUEST_MAX_BYTES), droppedBytes }
}

function parseLine(line: Buffer): { readonly request?: SessionRequest; readonly foreignBytes: number } {
  const markerAt = line.lastIndexOf(REQUEST_MARKER, undefined, 'latin1')
  if (markerAt === -1) return { foreignBytes: line.byteLength }
  const match = REQUEST.exec(line.toString('latin1', markerAt + REQUEST_MARKER.length))
  const [, sessionId, certificate] = match ?? []
  if (sessionId === undefined || certificate === undefined) return { foreignBytes: line.byteLength }
  const certificateDer = Buffer.from(certificate, 'base64')
  return { request: { sessionId, certificateDer, byteLength: line.byteLength - markerAt }, foreignBytes: markerAt }
}
