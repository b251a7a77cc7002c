export { type DekSourceType, type EncryptedObject, parseEncryptedObject } from './encrypted-object.ts'
export { KubeStorageError, type KubeStorageErrorCode } from './errors.ts'
export { parsePlainObject, type PlainObject } from './plain-object.ts'
export { type LocalMethod, parseStoredValue, type StoredValue } from './stored-value.ts'
