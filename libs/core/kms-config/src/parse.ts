import { parseConfig } from '@sealwright/node-config'
import { type KmsConfig, kmsConfigSchema } from './schema.ts'

/**
 * Parses the configuration file of a KMS plugin (YAML 1.2, of which JSON is a part).
 *
 * @param text - the whole file.
 * @param source - the file's name, for messages.
 * @throws {NodeConfigError} `CONFIG_SYNTAX` or `CONFIG_INVALID`.
 */
export function parseKmsConfig(text: string, source: string): KmsConfig {
  return parseConfig(kmsConfigSchema, text, source)
}
