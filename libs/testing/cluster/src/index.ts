export { writeFirstSecret } from './first-secret.ts'
export { programCommand, type ProgramCommand, type ProgramName } from './programs.ts'
export { type ProgramResult, runProgramToEnd } from './run-program.ts'
export {
  CONNECTOR_NAME,
  createSealedNode,
  type LogLine,
  type SealedNode,
  type SealedNodeConfig,
  type SealedOpenBaoOptions,
  type SealStanzaOptions,
} from './sealed-node.ts'
export {
  type ClusterNode,
  createSealedCluster,
  type SealedCluster,
  type SealedClusterOptions,
} from './sealed-cluster.ts'
