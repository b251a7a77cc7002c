import { KEY_BYTES } from '@sealwright/keyring'
import { decodeBase64, type Secret, SecretError } from '@sealwright/secret'
import { BootstrapError } from './errors.ts'
import { MAX_FILE_BYTES } from './mounted-file.ts'

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const SPACE = 0x20
const TILDE = 0x7e

/**
 * Decodes the base64 text of a 32-byte key, byte by byte: it never becomes a string.
 *
 * @param text - stays the caller's, who wipes it.
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_NEWLINE`, `BOOTSTRAP_KEY_BASE64`, `BOOTSTRAP_KEY_LENGTH`.
 */
export function parseSealKey(text: Uint8Array): Secret {
  if (text.byteLength === 0) throw new BootstrapError('BOOTSTRAP_KEY_LENGTH', 'the file of the seal key is empty')
  if (text.byteLength > MAX_FILE_BYTES) {
    throw new BootstrapError('BOOTSTRAP_KEY_LENGTH', `the file of the seal key holds more than ${MAX_FILE_BYTES} bytes`)
  }
  const sealKey = decode(text)
  if (sealKey.byteLength === KEY_BYTES) return sealKey
  const { byteLength } = sealKey
  sealKey.wipe()
  throw new BootstrapError(
    'BOOTSTRAP_KEY_LENGTH',
    `the seal key has ${byteLength} bytes once its base64 is decoded; it must have ${KEY_BYTES}`,
  )
}

function decode(text: Uint8Array): Secret {
  try {
    return decodeBase64(text)
  } catch (cause) {
    if (!(cause instanceof SecretError)) throw cause
    if (isBrokenText(text)) {
      throw new BootstrapError(
        'BOOTSTRAP_KEY_NEWLINE',
        'the seal key has a line break: write the same key without one: printf %s KEY > FILE; do not make a new key',
        { cause },
      )
    }
    throw new BootstrapError('BOOTSTRAP_KEY_BASE64', `the seal key is ${cause.message}`, { cause })
  }
}

/** Text with a line break. A key of 32 bare bytes may hold that byte as well, and is another mistake. */
function isBrokenText(bytes: Uint8Array): boolean {
  const isLineBreak = (byte: number): boolean => byte === LINE_FEED || byte === CARRIAGE_RETURN
  return bytes.some(isLineBreak) && bytes.every(byte => isLineBreak(byte) || (byte >= SPACE && byte <= TILDE))
}

/**
 * Checks the name that OpenBao will store beside everything this key seals.
 *
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_ID`.
 */
export function parseKeyId(text: string): string {
  if (/^[!-~]{1,64}$/.test(text)) return text
  throw new BootstrapError(
    'BOOTSTRAP_KEY_ID',
    'key-id must be 1 to 64 printable ASCII characters without spaces or line breaks',
  )
}
