import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { runProgramToEnd } from '@sealwright/testing-cluster'
import { createSoftHsm, startSwtpm, type Swtpm } from '@sealwright/testing-rig'
import { type PluginNode } from './plugin-node.ts'
import { type TransitOpenBao } from './transit-openbao.ts'

/** Fields of one seal, as a configuration has them. */
type SealFields = Readonly<Record<string, unknown>>

const KEY_BYTES = 32
const HIGH_BIT = 0x80
const HSM_KEY = 'kms'

/** A seal of a new SoftHSM token with an AES key. */
export async function softHsmSeal(directory: string): Promise<SealFields> {
  const hsm = await createSoftHsm({ directory })
  const token = await hsm.addToken('kms')
  // softhsm2-util takes a key to end at a zero, and at a line feed.
  const bytes = randomBytes(KEY_BYTES).map(byte => byte | HIGH_BIT)
  await hsm.importAesKey(token, { bytes, id: Buffer.from('01', 'hex'), label: HSM_KEY })
  return {
    ...{ name: 'hsm', type: 'pkcs11', priority: 1, module: hsm.modulePath, token: { label: token.label } },
    ...{ key: { label: HSM_KEY }, pinFile: token.pinFile, environment: hsm.environment },
  }
}

/** A seal of a new software TPM, which is the caller's to end. */
export async function swtpmSeal(directory: string): Promise<{ readonly seal: SealFields; readonly tpm: Swtpm }> {
  const tpm = await startSwtpm({ directory })
  return { seal: { name: 'tpm', type: 'tpm', priority: 2, tpm: { socket: tpm.socketPath } }, tpm }
}

/** A seal of a transit key. */
export function transitSeal(bao: TransitOpenBao): SealFields {
  const { type, addresses, ...fields } = bao.backend()
  if (type !== 'transit' || !Array.isArray(addresses)) throw new Error('this is no transit backend')
  return { ...fields, name: 'bao', type, priority: 3, address: String(addresses[0]) }
}

/** A backend of type `keyring` of one node, with these seals. */
export function keyringBackendFields(directory: string, seals: readonly SealFields[]): SealFields {
  return { type: 'keyring', store: join(directory, 'keyring'), seals }
}

/** Makes the keyring that the configuration of a node names, by `sealctl`. */
export async function initKeyring(node: Pick<PluginNode, 'configPath'>): Promise<void> {
  const args = ['kms', 'keyring', 'init', '--single-way-in', '--config', node.configPath]
  const { exitCode, stderr } = await runProgramToEnd('sealctl', args)
  if (exitCode !== 0) throw new Error(`sealctl ${args.join(' ')} ended with ${exitCode}: ${stderr}`)
}
