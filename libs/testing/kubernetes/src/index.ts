export { type ApiRequest, type ApiResponse, expectStatus, messageOf } from './api-request.ts'
export {
  type ApiServer,
  type ApiServerChanges,
  type ApiServerSettings,
  type ApiServerStart,
  startApiServer,
} from './api-server.ts'
export { startControllerManager } from './controller-manager.ts'
export { type Encryption, type EncryptionProvider, type KmsProvider } from './encryption.ts'
export { type Etcd, type EtcdEntry, startEtcd } from './etcd.ts'
export { type ApiServerCondition, type ApiServerState, type ApiServerWait } from './health.ts'
export { type HealthEndpoint, type HealthReport } from './health-report.ts'
export { type ClusterIdentity, type ClusterUser, createClusterIdentity } from './identity.ts'
export { type CommandOptions, kubelabPath, type KubelabCommand, runKubelab } from './kubelab.ts'
export { type Service } from './service.ts'
export { ensureNamespace, ensureServiceAccount, serviceAccountToken } from './service-account.ts'
