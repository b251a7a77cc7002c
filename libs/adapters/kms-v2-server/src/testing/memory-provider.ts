import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto'
import { KmsError, type KmsV2Service } from '@sealwright/kms-v2'
import { Secret } from '@sealwright/secret'

const NONCE_BYTES = 12
const TAG_BYTES = 16
const CIPHER = 'aes-256-gcm'

export const KEY_ID = 'key-1'
export const ANNOTATION = 'uid.test.sealwright.example'

/** A provider with a key in memory. It annotates each ciphertext with the uid of its request. */
export function memoryProvider(changes: Partial<KmsV2Service> = {}): KmsV2Service {
  const key = createSecretKey(randomBytes(32))
  return {
    status: () => ({ version: 'v2', healthz: 'ok', keyId: KEY_ID }),
    encrypt({ plaintext, uid }) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(CIPHER, key, nonce)
      const body = plaintext.reveal(bytes => cipher.update(bytes))
      const ciphertext = Buffer.concat([nonce, body, cipher.final(), cipher.getAuthTag()])
      return Promise.resolve({ ciphertext, keyId: KEY_ID, annotations: new Map([[ANNOTATION, Buffer.from(uid)]]) })
    },
    async decrypt({ ciphertext, keyId }) {
      if (keyId !== KEY_ID) throw new KmsError('KMS_KEY_ID_UNKNOWN', 'no key has this key id')
      const decipher = createDecipheriv(CIPHER, key, ciphertext.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
      decipher.setAuthTag(ciphertext.subarray(-TAG_BYTES))
      const plaintext = decipher.update(ciphertext.subarray(NONCE_BYTES, -TAG_BYTES))
      try {
        decipher.final()
      } catch (cause) {
        throw new KmsError('KMS_CIPHERTEXT_REFUSED', 'this ciphertext is not ours', { cause })
      }
      return await Promise.resolve({ plaintext: new Secret(plaintext) })
    },
    ...changes,
  }
}
