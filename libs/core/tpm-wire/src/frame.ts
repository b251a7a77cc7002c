import { MAX_FRAME_BYTES, TPM_ST_NO_SESSIONS, TPM_ST_SESSIONS } from './constants.ts'
import { TpmWireError } from './errors.ts'
import { TpmReader, readAll } from './reader.ts'
import { concat, sized, u16, u32, u8 } from './writer.ts'

/** Length of every command and response header: tag (2) ‖ size (4) ‖ code (4) (Part 1, clause 18.2). */
export const HEADER_BYTES = 10

/** One authorisation of a command: TPMS_AUTH_COMMAND (Part 2, clause 10.13.2). */
export type AuthCommand = {
  readonly sessionHandle: number
  readonly nonceCaller: Uint8Array
  readonly attributes: number
  readonly hmac: Uint8Array
}

/** The session part of a response: TPMS_AUTH_RESPONSE (Part 2, clause 10.13.3). */
export type AuthResponse = { readonly nonceTpm: Uint8Array; readonly attributes: number; readonly hmac: Uint8Array }

/** A response taken apart, before anything in it is trusted. */
export type TpmResponse = {
  readonly rc: number
  readonly handles: readonly number[]
  /** The parameter area as received: its first TPM2B may be encrypted. */
  readonly parameters: Uint8Array
  readonly auth: AuthResponse | undefined
}

/**
 * Writes one command (Part 1, clause 18.1): header ‖ handles ‖ [authorisation size ‖ authorisation] ‖ parameters.
 *
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` above {@link MAX_FRAME_BYTES}.
 */
export function encodeCommand(command: {
  readonly commandCode: number
  readonly handles: readonly number[]
  readonly auth: AuthCommand | undefined
  readonly parameters: Uint8Array
}): Uint8Array {
  const { auth } = command
  const area = auth
    ? concat(u32(auth.sessionHandle), sized(auth.nonceCaller), u8(auth.attributes), sized(auth.hmac))
    : undefined
  const body = concat(...command.handles.map(u32), ...(area ? [u32(area.byteLength), area] : []), command.parameters)
  const sizeBytes = HEADER_BYTES + body.byteLength
  if (sizeBytes > MAX_FRAME_BYTES) throw new TpmWireError('TPM_WIRE_RANGE', `a command of ${sizeBytes} bytes`)
  const tag = auth ? TPM_ST_SESSIONS : TPM_ST_NO_SESSIONS
  return concat(u16(tag), u32(sizeBytes), u32(command.commandCode), body)
}

/**
 * How long the response will be, from its first {@link HEADER_BYTES} bytes.
 *
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` if it is shorter than a header or longer than {@link MAX_FRAME_BYTES}.
 */
export function responseSizeBytes(header: Uint8Array): number {
  const reader = new TpmReader(header)
  reader.u16()
  const sizeBytes = reader.u32()
  if (sizeBytes < HEADER_BYTES || sizeBytes > MAX_FRAME_BYTES) {
    throw new TpmWireError('TPM_WIRE_RANGE', `a response that says it has ${sizeBytes} bytes`)
  }
  return sizeBytes
}

/**
 * Takes a whole response apart (Part 1, clause 18.1).
 *
 * @param shape - how many handles a successful response carries, and whether the command had a session.
 * @throws {@link TpmWireError} if anything is missing, left over, or has another tag than it must have.
 */
export function decodeResponse(
  bytes: Uint8Array,
  shape: { readonly handleCount: number; readonly hasSession: boolean },
): TpmResponse {
  return readAll(bytes, reader => {
    const tag = reader.u16()
    if (reader.u32() !== bytes.byteLength) throw new TpmWireError('TPM_WIRE_RANGE', 'the size in the header is wrong')
    const rc = reader.u32()
    const empty = { rc, handles: [], parameters: new Uint8Array(0), auth: undefined }
    // An error response is a bare header with the tag for no sessions, whatever the command was (Part 1, clause 18.2.4).
    if (rc !== 0) return empty
    if (tag !== (shape.hasSession ? TPM_ST_SESSIONS : TPM_ST_NO_SESSIONS)) {
      throw new TpmWireError('TPM_WIRE_UNKNOWN', `response tag 0x${tag.toString(16)}`)
    }
    const handles = Array.from({ length: shape.handleCount }, () => reader.u32())
    if (!shape.hasSession) return { rc, handles, parameters: reader.bytes(reader.remainingBytes), auth: undefined }
    const parameters = reader.bytes(reader.u32())
    const auth = { nonceTpm: reader.sized(64), attributes: reader.u8(), hmac: reader.sized(64) }
    return { rc, handles, parameters, auth }
  })
}
