export { ProgramError, type ProgramErrorCode } from './errors.ts'
export { belongsToOthers, isWritableByOthers, loadNodeConfig, readConfigFile, readSecretFile } from './files.ts'
export { siblingProgram } from './sibling.ts'
export { describeError, runProgram, type ExitCodes, type ProgramOptions } from './run.ts'
