import { type KmsConfig, parseKmsConfig, type TransitBackendConfig } from '@sealwright/kms-config'
import { readConfigFile } from '@sealwright/program'
import { KmsCommandError } from './errors.ts'
import { type PrintOptions } from './example-option.ts'
import { EXAMPLE_CONFIG } from './files/example-config.ts'

/** Reads the configuration of a KMS plugin. @throws {ProgramError}, {NodeConfigError}. */
export async function loadKmsConfig(path: string): Promise<KmsConfig> {
  return parseKmsConfig(await readConfigFile(path), path)
}

/** The same, or an example with the usual paths where it is asked for: to print files with. */
export async function configOrExample({ config: path, example }: PrintOptions): Promise<KmsConfig> {
  return example ? parseKmsConfig(EXAMPLE_CONFIG, 'the example') : await loadKmsConfig(path)
}

/** The backend, if it is a transit key. @throws {@link KmsCommandError} `KMS_COMMAND_NO_TRANSIT`. */
export function transitOf({ backend }: KmsConfig, path: string): TransitBackendConfig {
  if (backend.type === 'transit') return backend
  throw new KmsCommandError(
    'KMS_COMMAND_NO_TRANSIT',
    `the backend in ${path} is of type ${backend.type}: its key is not in an OpenBao, see sealctl kms keyring --help`,
  )
}
