import { type KmsConfig, parseKmsConfig, type TransitBackendConfig } from '@sealwright/kms-config'
import { readConfigFile } from '@sealwright/program'
import { errorCodeOf } from '@sealwright/system-error'
import { KmsCommandError } from './errors.ts'
import { EXAMPLE_CONFIG } from './files/example-config.ts'
import { DEFAULT_CONFIG } from './kms-command.ts'

/** Reads the configuration of a KMS plugin. @throws {ProgramError}, {NodeConfigError}. */
export async function loadKmsConfig(path: string): Promise<KmsConfig> {
  return parseKmsConfig(await readConfigFile(path), path)
}

/** The same, or an example with the usual paths where none is named and this machine has none: to print files with. */
export async function configOrExample(path: string): Promise<KmsConfig> {
  try {
    return await loadKmsConfig(path)
  } catch (error) {
    const isMissing = error instanceof Error && errorCodeOf(error.cause) === 'ENOENT'
    if (path === DEFAULT_CONFIG && isMissing) return parseKmsConfig(EXAMPLE_CONFIG, 'the example')
    throw error
  }
}

/** The backend, if it is a transit key. @throws {@link KmsCommandError} `KMS_COMMAND_NO_TRANSIT`. */
export function transitOf({ backend }: KmsConfig, path: string): TransitBackendConfig {
  if (backend.type === 'transit') return backend
  throw new KmsCommandError(
    'KMS_COMMAND_NO_TRANSIT',
    `the backend in ${path} is of type ${backend.type}: its key is not in an OpenBao, see sealctl kms keyring --help`,
  )
}
