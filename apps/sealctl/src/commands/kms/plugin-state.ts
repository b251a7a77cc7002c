import { kmsStatePath, KmsStateFileError, readKmsState } from '@sealwright/kms-backends'
import { type KmsConfig } from '@sealwright/kms-config'
import { type KmsState, KmsStateError } from '@sealwright/kms-v2'
import { errorCodeOf } from '@sealwright/system-error'

/** What the plugin of this node remembers of its key. */
export type FoundPluginState =
  | { readonly kind: 'read'; readonly state: KmsState; readonly path: string }
  | { readonly kind: 'none'; readonly path: string }
  | { readonly kind: 'unusable'; readonly path: string; readonly code: string; readonly message: string }

/** Reads it as the plugin does, and changes nothing: the plugin puts a damaged one aside. It may be the plugin's user's, who need not be this one. */
export async function readPluginState({
  stateDirectory,
}: Pick<KmsConfig, 'stateDirectory'>): Promise<FoundPluginState> {
  const path = kmsStatePath(stateDirectory)
  try {
    const state = await readKmsState(stateDirectory, { ofFolderOwner: true })
    return state === null ? { kind: 'none', path } : { kind: 'read', path, state }
  } catch (error) {
    const code = errorCodeOf(error)
    if (code === undefined || !(error instanceof Error)) throw error
    const isOurs = error instanceof KmsStateError || error instanceof KmsStateFileError
    return { kind: 'unusable', path, code, message: isOurs ? error.message : code }
  }
}
