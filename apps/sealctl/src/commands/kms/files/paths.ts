import { dirname, resolve } from 'node:path'
import { type KmsConfig } from '@sealwright/kms-config'
import { KmsCommandError } from '../errors.ts'

/** The folders that a plugin reads from and writes to, each once, none within another. */
export interface PluginFolders {
  /** Configuration and credentials. */
  readonly read: readonly string[]
  /** Sockets. */
  readonly sockets: readonly string[]
  /** State, and the store of a keyring. */
  readonly state: readonly string[]
}

/** Folders that many programs share. Whoever may write all of one can do much more than keep a socket there. */
const SHARED = new Set([
  ...['/', '/bin', '/boot', '/dev', '/etc', '/home', '/lib', '/lib64', '/media', '/mnt', '/opt', '/proc', '/root'],
  ...['/run', '/sbin', '/srv', '/sys', '/tmp', '/usr', '/var'],
  ...['/etc/kubernetes', '/run/user', '/usr/bin', '/usr/lib', '/usr/local', '/usr/local/bin', '/usr/sbin'],
  ...['/var/cache', '/var/lib', '/var/log', '/var/run', '/var/tmp'],
])

/** Means the same in a unit, a manifest and a line of code. */
const PLAIN_PATH = /^\/[\w./@+,=~-]*$/

/**
 * The folders of a configuration that lies at `configPath`.
 *
 * @throws {@link KmsCommandError} `KMS_COMMAND_FOLDER_UNFIT` for a path that a unit or manifest would read as something else.
 */
export function foldersOf(
  { backend, socket, statusSocket, stateDirectory }: KmsConfig,
  configPath: string,
): PluginFolders {
  const files = [configPath, ...filesOf(backend)]
  const sockets = [socket.path, statusSocket]
  // The store is a folder.
  const state = [stateDirectory, ...(backend.type === 'keyring' ? [backend.store] : [])]
  for (const path of [...files, ...sockets, ...state]) assertPlain(path)
  return {
    read: outermost(files.map(path => dirname(resolve(path)))),
    sockets: outermost(sockets.map(path => dirname(resolve(path)))),
    state: outermost(state.map(path => resolve(path))),
  }
}

/**
 * Refuses folders that would hand over what belongs to others.
 *
 * @throws {@link KmsCommandError} `KMS_COMMAND_FOLDER_UNFIT`.
 */
export function assertOwnFolders(folders: readonly string[]): void {
  const shared = folders.find(folder => SHARED.has(folder))
  if (shared === undefined) return
  throw new KmsCommandError(
    'KMS_COMMAND_FOLDER_UNFIT',
    `all of ${shared} would be the plugin's: keep what it has there in a folder of its own, as by default in /etc/sealwright, /run/sealwright/kms and /var/lib/sealwright/kms`,
  )
}

function assertPlain(path: string): void {
  if (PLAIN_PATH.test(path)) return
  throw new KmsCommandError(
    'KMS_COMMAND_FOLDER_UNFIT',
    `${JSON.stringify(path)} would be read as something else there: use an absolute path of letters, digits and . _ / @ + , = ~ - only`,
  )
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
