export { MAX_CONTEXT_FIELD_BYTES, MAX_CONTEXT_FIELDS } from './associated-data.ts'
export { EnvelopeError, type EnvelopeErrorCode } from './envelope-error.ts'
export {
  decryptEnvelope,
  type DecryptEnvelopeInput,
  encryptEnvelope,
  type EncryptEnvelopeInput,
  type RandomBytes,
} from './envelope.ts'
export {
  type Envelope,
  type EnvelopePurpose,
  MAX_ENVELOPE_BYTES,
  MAX_KEY_REF_BYTES,
  MAX_PLAINTEXT_BYTES,
  parseEnvelope,
} from './format.ts'
export { MessageKeys } from './message-keys.ts'
export { updateWithoutTrace } from './update-without-trace.ts'
export { type EnvelopeKey } from './xaes-256-gcm.ts'
