import { type KmsConfig } from '@sealwright/kms-config'
import { KmsCommandError, PluginAbsent, PluginRefusal } from '../errors.ts'
import { pluginClient } from './client.ts'

const TIMEOUT_MS = 3_000

/** Who is on the socket of a node's plugin, and what it says of itself. */
export type PluginStatus =
  | { readonly kind: 'answers'; readonly healthz: string; readonly keyId: string }
  /** `refuses`: it answers with an error; `silent`: somebody may be there; `absent`: nobody is. */
  | { readonly kind: 'refuses' | 'silent' | 'absent'; readonly code: string; readonly message: string }

/** Asks the plugin of this node for its Status, as kube-apiserver does. */
export async function askPluginStatus(
  { socket }: Pick<KmsConfig, 'socket'>,
  signal: AbortSignal,
): Promise<PluginStatus> {
  using client = pluginClient({ socketPath: socket.path, timeoutMs: TIMEOUT_MS, signal })
  try {
    const { healthz, keyId } = await client.status()
    return { kind: 'answers', healthz, keyId }
  } catch (error) {
    if (!(error instanceof KmsCommandError)) throw error
    const { code, message } = error
    if (error instanceof PluginAbsent) return { kind: 'absent', code, message }
    return { kind: error instanceof PluginRefusal ? 'refuses' : 'silent', code, message }
  }
}
