export { AuditLogError, type AuditLogErrorCode } from './errors.ts'
export { type AuditLog, type AuditLogOptions, type FlushOutcome, openAuditLog } from './log.ts'
export {
  type AuditFault,
  type AuditFaultKind,
  type AuditVerification,
  type ExpectedHeadVerdict,
  type LogBeginning,
  type LogSummary,
  type VerifyOptions,
} from './verification.ts'
export { verifyAuditLog } from './verify.ts'
