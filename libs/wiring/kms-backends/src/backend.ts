import { type KmsConfig } from '@sealwright/kms-config'
import { type KmsBackend } from '@sealwright/kms-v2'
import { type KeyringAbilities, type KeyringBackendContext } from './keyring-backend.ts'

/** What backends need of the program that they are part of. */
export interface BackendContext extends KeyringBackendContext {
  /** The one that calls `servePkcs11`: it has the vendor's module in it. */
  readonly pkcs11Program: { readonly command: string; readonly args: readonly string[] }
}

/** A backend, with what only some can do. */
export type ConfiguredBackend = KmsBackend & Partial<KeyringAbilities>

/**
 * Opens the backend of a configuration. Nothing is asked of it before its first use. What only the other one needs is not loaded.
 *
 * @throws {TransitError} `TRANSIT_OPTIONS_INVALID`.
 */
export async function kmsBackend(config: KmsConfig['backend'], context: BackendContext): Promise<ConfiguredBackend> {
  switch (config.type) {
    case 'transit':
      return (await import('./transit-backend.ts')).transitBackend(config)
    case 'keyring':
      return (await import('./keyring-backend.ts')).keyringBackend(config, context)
  }
}
