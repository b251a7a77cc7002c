export { errorCodeOf, hasErrorCode } from './error-code.ts'
