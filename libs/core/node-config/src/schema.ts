import * as v from 'valibot'
import { absolutePath, clusterIdText, openBaoAddress, wholeNumber } from './fields.ts'
import { tpmSeal } from './seal-schemas.ts'

const openbao = v.strictObject({
  address: openBaoAddress,
  caFile: v.optional(absolutePath),
})

const agent = v.strictObject({
  ipcDirectory: v.optional(absolutePath, '/run/sealwright/ipc/seal'),
  ipcGroupId: v.optional(wholeNumber(0, 0xffff_fffe)),
  controlSocket: v.optional(absolutePath, '/run/sealwright/control.sock'),
  learnIntervalMs: v.optional(wholeNumber(100, 86_400_000), 30_000),
  probeIntervalMs: v.optional(wholeNumber(1_000, 86_400_000), 300_000),
})

/** What one node's configuration file may say. Unknown fields are refused at every level. */
export const nodeConfigSchema = v.strictObject({
  store: v.optional(absolutePath, '/var/lib/sealwright/seal'),
  clusterId: v.optional(clusterIdText),
  seals: v.pipe(
    v.array(v.variant('type', [tpmSeal], 'must be one of: tpm')),
    v.minLength(1, 'must name at least one seal'),
    v.check(list => isUnique(list, seal => seal.name), 'two seals that are not disabled share a name'),
    v.check(list => isUnique(list, seal => seal.priority), 'two seals that are not disabled share a priority'),
    v.check(list => list.some(seal => !seal.disabled), 'every seal is disabled'),
  ),
  agent: v.optional(agent, {}),
  openbao: v.optional(openbao),
})

function isUnique<S extends { disabled: boolean }>(seals: readonly S[], key: (seal: S) => unknown): boolean {
  const enabled = seals.filter(seal => !seal.disabled)
  return new Set(enabled.map(key)).size === enabled.length
}

type Output = v.InferOutput<typeof nodeConfigSchema>

/** One node's configuration, checked and with its defaults filled in. */
export type NodeConfig = Readonly<Output>

/** Settings of the seal agent. */
export type AgentConfig = NodeConfig['agent']

/** One seal of this node, of any type. */
export type SealConfig = NodeConfig['seals'][number]
