import * as v from 'valibot'
import { absolutePath, clusterIdText, keyIdText, openBaoAddress, wholeNumber } from './fields.ts'
import { pkcs11Seal, shamirSeal, tpmSeal, transitSeal } from './seal-schemas.ts'

const openbao = v.strictObject({
  address: openBaoAddress,
  caFile: v.optional(absolutePath),
})

/** For an OpenBao without KMS plugins: its `seal "static"` reads the key from pipes. */
const staticDelivery = v.strictObject({
  directory: absolutePath,
  groupId: v.optional(wholeNumber(0, 0xffff_fffe)),
  /** Key id of the generation that comes out of `current.fifo`, and out of `previous.fifo`. */
  current: keyIdText,
  previous: v.optional(keyIdText),
  /** Instead of pipes: a file of environment variables, for as long as OpenBao is not unsealed. */
  unsafePlainKeyFile: v.optional(v.boolean(), false),
})

const agent = v.strictObject({
  ipcDirectory: v.optional(absolutePath, '/run/sealwright/ipc/seal'),
  ipcGroupId: v.optional(wholeNumber(0, 0xffff_fffe)),
  controlSocket: v.optional(absolutePath, '/run/sealwright/control.sock'),
  auditDirectory: v.optional(absolutePath, '/var/lib/sealwright/audit'),
  staticDelivery: v.optional(staticDelivery),
  learnIntervalMs: v.optional(wholeNumber(100, 86_400_000), 30_000),
  probeIntervalMs: v.optional(wholeNumber(1_000, 86_400_000), 300_000),
  /** What OpenBao is told as the type of its seal, and keeps. It must never change in the life of a cluster. */
  sealType: v.optional(v.picklist(['sealwright', 'static'], 'must be one of: sealwright, static'), 'sealwright'),
})

/** The seals of one node, or of one other program that opens a keyring. */
export const sealList = v.pipe(
  v.array(
    v.variant('type', [tpmSeal, pkcs11Seal, transitSeal, shamirSeal], 'must be one of: tpm, pkcs11, transit, shamir'),
  ),
  v.minLength(1, 'must name at least one seal'),
  v.check(list => isUnique(list, seal => seal.name), 'two seals that are not disabled share a name'),
  v.check(list => isUnique(list, seal => seal.priority), 'two seals that are not disabled share a priority'),
  v.check(list => list.some(seal => !seal.disabled), 'every seal is disabled'),
  // What one of them retires the other may still boot by.
  v.check(list => isUnique(list, policiesFileOf), 'two seals that are not disabled share a signedPolicy.policiesFile'),
)

/** What one node's configuration file may say. Unknown fields are refused at every level. */
export const nodeConfigSchema = v.pipe(
  v.strictObject({
    store: v.optional(absolutePath, '/var/lib/sealwright/seal'),
    clusterId: v.optional(clusterIdText),
    seals: sealList,
    agent: v.optional(agent, {}),
    openbao: v.optional(openbao),
  }),
  v.check(
    ({ agent: { staticDelivery: delivery }, openbao: server }) =>
      delivery?.unsafePlainKeyFile !== true || server !== undefined,
    'needs openbao.address beside agent.staticDelivery.unsafePlainKeyFile: OpenBao tells when the file may go',
  ),
)

function isUnique<S extends { disabled: boolean }>(seals: readonly S[], key: (seal: S) => unknown): boolean {
  const enabled = seals.filter(seal => !seal.disabled)
  return new Set(enabled.map(key)).size === enabled.length
}

/** A seal without one is like no other. */
function policiesFileOf(
  seal: { name: string; signedPolicy?: { policiesFile: string } | undefined } | { name: string },
): string {
  return ('signedPolicy' in seal ? seal.signedPolicy?.policiesFile : undefined) ?? seal.name
}

type Output = v.InferOutput<typeof nodeConfigSchema>

/** One node's configuration, checked and with its defaults filled in. */
export type NodeConfig = Readonly<Output>

/** Settings of the seal agent. */
export type AgentConfig = NodeConfig['agent']

/** One seal of this node, of any type. */
export type SealConfig = NodeConfig['seals'][number]
