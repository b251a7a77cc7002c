export { ProgramError, type ProgramErrorCode } from './errors.ts'
export { loadNodeConfig, readSecretFile } from './files.ts'
export { codeOf, describeError, runProgram, type ExitCodes, type ProgramOptions } from './run.ts'
