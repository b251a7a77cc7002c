import { join } from 'node:path'
import { type Keyring, kmsChain } from '@sealwright/keyring'
import { type KeyringBackendConfig, type KmsConfig, parseKmsConfig } from '@sealwright/kms-config'
import { type KeyObservation, KmsError, type KmsBackend } from '@sealwright/kms-v2'
import { type ConfiguredSeal, configuredSeals } from '@sealwright/node-seals'
import { Secret } from '@sealwright/secret'
import { type KeyringAbilities, keyringBackend, type KeyringBackendContext } from '../keyring-backend.ts'
import { type KeyringEvent } from '../keyring-events.ts'
import { type HandedShares, initKeyring, type WantedShares } from '../keyring-init.ts'
import { readStored } from '../keyring-store.ts'
import { type KeyringNode } from '../keyring-unlock.ts'

export const signal: AbortSignal = new AbortController().signal
/** The Kubernetes cluster of all tests. */
export const CLUSTER = 'test'
export const PROGRAMS = {
  pkcs11Program: {
    command: process.execPath,
    args: [join(import.meta.dirname, '../../../../adapters/pkcs11/src/fixtures/serve.ts')],
  },
}

/** Fields of a seal as the configuration file has them. */
export type SealFields = Readonly<Record<string, unknown>>

export function tpmFields(socketPath: string, fields: SealFields = {}): SealFields {
  return { name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: socketPath }, deadlineMs: 10_000, ...fields }
}

export function hsmFields(
  { modulePath: module, environment }: { readonly modulePath: string; readonly environment: SealFields },
  { label, pinFile }: { readonly label: string; readonly pinFile: string },
  fields: SealFields = {},
): SealFields {
  return {
    ...{ name: 'hsm', type: 'pkcs11', priority: 2, module, environment, token: { label }, pinFile },
    ...{ deadlineMs: 20_000, key: { label: 'kek' } },
    ...fields,
  }
}

/** The configuration of a KMS plugin with a keyring. */
export function kmsConfig(store: string, seals: readonly SealFields[], backend: SealFields = {}): KmsConfig {
  return parseKmsConfig(
    JSON.stringify({ clusterId: CLUSTER, backend: { type: 'keyring', store, seals, ...backend } }),
    'test',
  )
}

/** Its keyring part. */
export function backendConfig(
  store: string,
  seals: readonly SealFields[],
  backend: SealFields = {},
): KeyringBackendConfig {
  const { backend: config } = kmsConfig(store, seals, backend)
  if (config.type !== 'keyring') throw new Error('another backend')
  return config
}

/** A node as the commands of an operator see it. */
export async function withNode<T>(config: KeyringBackendConfig, use: (node: KeyringNode) => Promise<T>): Promise<T> {
  const all = configuredSeals(config, PROGRAMS)
  try {
    return await use({ config, seals: all.filter(isEnabled), label: 'node' })
  } finally {
    for (const seal of all) await seal[Symbol.asyncDispose]()
  }
}

function isEnabled({ disabled }: ConfiguredSeal): boolean {
  return !disabled
}

/** The first keyring of a node. @returns it, and the shares as people write them. */
export async function initialised(
  config: KeyringBackendConfig,
  shares: readonly WantedShares[] = [],
): Promise<{ readonly keyring: Keyring; readonly texts: readonly string[] }> {
  const texts: string[] = []
  const handOut = ({ texts: handed }: HandedShares): Promise<void> => {
    texts.push(...handed.map(text => text.reveal(bytes => Buffer.from(bytes).toString())))
    return Promise.resolve()
  }
  const keyring = await withNode(config, node =>
    initKeyring({ ...node, shares, handOut, acceptSingleWayIn: true }, signal),
  )
  return { keyring, texts }
}

/** A backend as it runs, and all that it has told. */
export interface Running extends KmsBackend, KeyringAbilities {
  readonly events: readonly KeyringEvent[]
  /** One look. */
  look(): Promise<KeyObservation>
  /** The code of the failure of one look; `none` if it does not fail. */
  lookCode(): Promise<string>
  /** Encrypts a text by a version, and gives its bytes. */
  encryptText(version: number, text: string): Promise<Uint8Array>
  /** The text, or the code of the failure. */
  decryptText(version: number, wrapped: Uint8Array, associatedData?: Uint8Array): Promise<string>
  /** What was told of one kind. */
  told<Kind extends KeyringEvent['kind']>(kind: Kind): readonly (KeyringEvent & { readonly kind: Kind })[]
}

export const ASSOCIATED_DATA = new TextEncoder().encode('associated data')

export function runningBackend(
  config: KeyringBackendConfig,
  context: Pick<KeyringBackendContext, 'looksOnly'> = {},
): Running {
  const events: KeyringEvent[] = []
  const backend = keyringBackend(config, { ...PROGRAMS, ...context, onKeyringEvent: event => events.push(event) })
  const call = { signal }
  return {
    ...backend,
    events,
    look: () => backend.observe(call),
    lookCode: () => codeOf(() => backend.observe(call)),
    async encryptText(version, text) {
      using plaintext = new Secret(new TextEncoder().encode(text))
      return await backend.encrypt({ version, plaintext, associatedData: ASSOCIATED_DATA }, call)
    },
    async decryptText(version, wrapped, associatedData = ASSOCIATED_DATA) {
      try {
        using plaintext = await backend.decrypt({ version, wrapped, associatedData }, call)
        return plaintext.reveal(bytes => Buffer.from(bytes).toString())
      } catch (error) {
        if (error instanceof KmsError) return error.code
        throw error
      }
    },
    told<Kind extends KeyringEvent['kind']>(kind: Kind) {
      return events.filter((event): event is KeyringEvent & { readonly kind: Kind } => event.kind === kind)
    },
  }
}

/** The stable code of what it throws; `none` if it does not. */
export async function codeOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run()
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
    throw error
  }
  return 'none'
}

/** The versions that a store lists, and their states. */
export async function storedVersions(store: string): Promise<readonly (readonly [number, string])[]> {
  return kmsChain((await readStored(store)).keyring).map(({ number, state }) => [number, state] as const)
}
