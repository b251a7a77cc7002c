export {
  type ControlPlaneNode,
  createKmsControlPlane,
  etcdKeyOf,
  type KmsControlPlane,
  type KmsControlPlaneOptions,
  PROVIDER_NAME,
  readSecret,
  storedKeyId,
  writeSecret,
} from './control-plane.ts'
export { initKeyring, keyringBackendFields, softHsmSeal, swtpmSeal, transitSeal } from './keyring-backends.ts'
export {
  type EncryptedSeed,
  KmsCallError,
  type KmsCallOptions,
  kmsClient,
  type KmsClient,
  type KmsStatus,
} from './kms-client.ts'
export { createPluginNode, type PluginNode, type PluginNodeOptions, type PluginSettings } from './plugin-node.ts'
export {
  KMS_KEY,
  KMS_POLICY,
  startTransitOpenBao,
  type TransitOpenBao,
  type TransitOpenBaoOptions,
} from './transit-openbao.ts'
