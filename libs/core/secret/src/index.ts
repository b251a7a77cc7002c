export { decodeBase64 } from './base64.ts'
export { allocateKeyBytes, randomKeyBytes } from './key-bytes.ts'
export { SecretError, type SecretErrorCode } from './secret-error.ts'
export { Secret } from './secret.ts'
