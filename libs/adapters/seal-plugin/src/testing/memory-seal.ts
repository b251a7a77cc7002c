import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { type SealService, SealServiceRefusal } from '../seal-service.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A seal whose key is given: AES-256-GCM, key id `k1`. For tests only. */
export function memorySeal(key: Uint8Array, overrides: Partial<SealService> = {}): SealService {
  return {
    type: 'memory',
    configure: () => ({ metadata: { source: 'memory' } }),
    prepareInitialise: () => undefined,
    keyId: () => 'k1',
    encrypt(plaintext, aad) {
      const iv = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad)
      const body = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
      return { ciphertext: body, iv, keyId: 'k1', wrappedKey: Buffer.from('keyring'), mechanism: 1n }
    },
    decrypt(blob, aad) {
      const body = blob.ciphertext.subarray(0, -TAG_BYTES)
      const decipher = createDecipheriv('aes-256-gcm', key, blob.iv, { authTagLength: TAG_BYTES })
      decipher.setAAD(aad).setAuthTag(blob.ciphertext.subarray(-TAG_BYTES))
      try {
        return Promise.resolve(
          Buffer.concat([decipher.update(blob.ciphertext.subarray(0, body.length)), decipher.final()]),
        )
      } catch (cause) {
        return Promise.reject(new SealServiceRefusal('MEMORY_WRONG_KEY', 'not closed with this key', { cause }))
      }
    },
    ...overrides,
  }
}
