export {
  mayTry,
  nextSealHealth,
  type FailureKind,
  type SealEvent,
  type SealFailure,
  type SealHealth,
} from './health.ts'
export {
  openByPriority,
  type NamedSeal,
  type OpenByPriorityOptions,
  type OpenOutcome,
  type SealAttempt,
} from './open.ts'
