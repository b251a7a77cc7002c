const ENCODER = new TextEncoder()

/** Lower-case hex, for messages and look-ups of public ids. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** ASCII, or any text as UTF-8. */
export function textBytes(text: string): Uint8Array {
  return ENCODER.encode(text)
}
