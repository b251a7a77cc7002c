export { classifySealFailure } from './classify.ts'
export { type ConfiguredSeal, type EnrolledDevice } from './configured-seal.ts'
export { configuredSeals, openThrough, proveThrough, proveThroughAny, unwrapThrough } from './node-seals.ts'
export { openKeyringStore, readStoredKeyring } from './store.ts'
