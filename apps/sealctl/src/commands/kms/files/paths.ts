import { dirname } from 'node:path'
import { type KmsConfig } from '@sealwright/kms-config'

/** The folders that a plugin reads from and writes to, each once, none within another. */
export interface PluginFolders {
  /** Configuration and credentials. */
  readonly read: readonly string[]
  /** Sockets. */
  readonly sockets: readonly string[]
  /** State, and the store of a keyring. */
  readonly state: readonly string[]
}

/** The folders of a configuration that lies at `configPath`. */
export function foldersOf(
  { backend, socket, statusSocket, stateDirectory }: KmsConfig,
  configPath: string,
): PluginFolders {
  return {
    read: outermost([configPath, ...filesOf(backend)].map(path => dirname(path))),
    sockets: outermost([socket.path, statusSocket].map(path => dirname(path))),
    // The store is a folder.
    state: outermost([stateDirectory, ...(backend.type === 'keyring' ? [backend.store] : [])]),
  }
}

/** Files that a backend reads. */
function filesOf(backend: KmsConfig['backend']): readonly string[] {
  const connections = backend.type === 'transit' ? [backend] : backend.seals.filter(seal => seal.type === 'transit')
  const ofSeals =
    backend.type === 'transit'
      ? []
      : backend.seals.flatMap(seal => {
          if (seal.type === 'tpm') return [seal.pinFile, seal.ownerAuthFile, seal.signedPolicy?.policiesFile]
          return seal.type === 'pkcs11' ? [seal.pinFile] : []
        })
  const ofConnections = connections.flatMap(({ auth, tls: { caFile, certFile, keyFile } }) => [
    ...Object.entries(auth).map(([name, value]) => (name.endsWith('File') ? value : undefined)),
    ...[caFile, certFile, keyFile],
  ])
  return [...ofSeals, ...ofConnections].filter(path => path !== undefined)
}

function outermost(folders: readonly string[]): readonly string[] {
  const all = [...new Set(folders)].sort()
  return all.filter(folder => !all.some(other => other !== folder && folder.startsWith(`${other}/`)))
}
