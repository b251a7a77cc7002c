import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomFillSync } from 'node:crypto'
import { allocateKeyBytes } from '@sealwright/secret'
import { FieldError, join, u32 } from '../fields.ts'

/** Length of the key that comes over a channel first, in bytes. */
export const CHANNEL_KEY_BYTES = 32
/** Added to what is encrypted. */
export const TAG_BYTES = 16

/** Encrypts what is written and decrypts what is read, in turn. */
export type ChannelCipher = {
  /** The result is ‖ tag (16). */
  seal(content: Uint8Array): Uint8Array
  /** In memory of its own, which the caller wipes. Throws {@link FieldError} if it is not what the other end wrote next. */
  open(sealed: Uint8Array): Uint8Array
}

/**
 * A fresh key for a channel.
 *
 * Node reads a stream into memory that it frees without overwriting. So what crosses the channel is encrypted: not against anybody
 * who could listen on a socket pair, but so that a dump of our memory shows no key of years ago. The channel's own key crosses it
 * once, and is worth nothing after the process has ended.
 */
export function newChannelKey(): Uint8Array {
  return randomFillSync(allocateKeyBytes(CHANNEL_KEY_BYTES))
}

/**
 * AES-256-GCM with counted nonces, one sequence each way.
 *
 * @param keyBytes - the caller's, who wipes it.
 * @param side - the parent is who made the key.
 */
export function channelCipher(keyBytes: Uint8Array, side: 'parent' | 'child'): ChannelCipher {
  const key = createSecretKey(keyBytes)
  const [outgoing, incoming] = side === 'parent' ? [TO_CHILD, TO_PARENT] : [TO_PARENT, TO_CHILD]
  const nextOutgoing = nonces(outgoing)
  const nextIncoming = nonces(incoming)
  return {
    seal: content => {
      const cipher = createCipheriv('aes-256-gcm', key, nextOutgoing(), { authTagLength: TAG_BYTES })
      return join([cipher.update(content), cipher.final(), cipher.getAuthTag()])
    },
    open: sealed => open(key, nextIncoming(), sealed),
  }
}

const TO_CHILD = 1
const TO_PARENT = 2

function open(key: KeyObject, nonce: Uint8Array, sealed: Uint8Array): Uint8Array {
  if (sealed.byteLength < TAG_BYTES) throw new FieldError('a frame is too short')
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
  const opened = decipher.update(sealed.subarray(0, -TAG_BYTES))
  try {
    decipher.final()
    return join(opened)
  } catch (cause) {
    throw new FieldError('a frame is not what the other end wrote', { cause })
  } finally {
    opened.fill(0)
  }
}

/** Direction (4) ‖ count (8): 96 bits that never come twice under one key. */
function nonces(direction: number): () => Uint8Array {
  let count = 0
  return () => {
    count += 1
    return join([u32(direction), u32(Math.floor(count / 2 ** 32)), u32(count)])
  }
}
