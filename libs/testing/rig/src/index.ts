export { RigError, type RigErrorCode } from './error.ts'
export { openBaoPath, repositoryRoot } from './repository.ts'
export { type NotYet, type WaitOptions, waitUntil } from './wait.ts'
export { MAX_FOLDER_PATH_BYTES, temporaryFolder, type TemporaryFolder } from './folder.ts'
export { freePort } from './port.ts'
export { findProcesses, processGroup, type ProcessInfo, processTree } from './proc.ts'
export { countInMemory, type MemoryPart, readMemory } from './memory.ts'
export { type NodeProgram, type WaitingProgram, withNodeProgram } from './node-program.ts'
export { type ProcessEnd, type ProcessOptions, SEARCH_PATH, startProcess, type StartedProcess } from './process.ts'
export {
  type CertificateAuthority,
  certificateAuthority,
  type CertificateRequest,
  type IssuedCertificate,
} from './certificates.ts'
export { openBaoHcl, type OpenBaoSeal, type OpenBaoSettings, type OpenBaoTls } from './openbao-config.ts'
export {
  type NodeChanges,
  type NodeCondition,
  type NodeState,
  type NodeWait,
  type OpenBaoNode,
  type StartOptions,
  startOpenBao,
} from './openbao.ts'
export { waitUntilApplied } from './replication.ts'
export { requestOpenBao, type RigRequest, type RigResponse } from './openbao-request.ts'
export {
  type ByteHook,
  type Direction,
  proxySocket,
  type RecordedBytes,
  type SocketProxy,
  type SocketProxyOptions,
} from './socket-proxy.ts'
export { createSoftHsm, type SoftHsm, type SoftHsmToken } from './softhsm.ts'
export { startSwtpm, type Swtpm } from './swtpm.ts'
export { type SlowProxy, slowProxy } from './slow-proxy.ts'
