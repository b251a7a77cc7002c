import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type KmsConfig } from '@sealwright/kms-config'
import { KMS_STATE_FILE, type KmsState, KmsStateError, parseState } from '@sealwright/kms-v2'
import { errorCodeOf } from '@sealwright/system-error'

/** What the plugin of this node remembers of its key. */
export type FoundPluginState =
  | { readonly kind: 'read'; readonly state: KmsState; readonly path: string }
  | { readonly kind: 'none'; readonly path: string }
  | { readonly kind: 'unusable'; readonly path: string; readonly code: string; readonly message: string }

/** Reads it, and changes nothing: unlike the plugin, which puts a damaged one aside. */
export async function readPluginState({
  stateDirectory,
}: Pick<KmsConfig, 'stateDirectory'>): Promise<FoundPluginState> {
  const path = join(stateDirectory, KMS_STATE_FILE)
  try {
    return { kind: 'read', path, state: parseState(await readFile(path, 'utf8')) }
  } catch (error) {
    const code = errorCodeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'none', path }
    if (code === undefined || !(error instanceof Error)) throw error
    return { kind: 'unusable', path, code, message: error instanceof KmsStateError ? error.message : code }
  }
}
