import { type KmsConfig } from '@sealwright/kms-config'
import { type ConfiguredBackend, kmsBackend } from '@sealwright/kms-backends'
import { KmsError } from '@sealwright/kms-v2'
import { randomKeyBytes, Secret } from '@sealwright/secret'
import { SEAL_CONTEXT } from '../../../seal-context.ts'
import { KmsCommandError } from '../errors.ts'
import { factsOf, type KeyFacts, readKeyFacts } from '../key-facts.ts'
import { type Check, type CheckId, failed, passed, skipped, wordsOf } from './check.ts'

/** As many as a seed of kube-apiserver has. */
const SEED_BYTES = 32
/** Nothing that is encrypted here passes for anything that kube-apiserver stores. */
const ASSOCIATED_DATA = new TextEncoder().encode('sealwright kms v2 doctor v1')

interface KeyCheckOptions {
  /** By which the plugin encrypts; undefined if it does not answer. */
  readonly keyId: string | undefined
  readonly now: Date
  readonly signal: AbortSignal
}

/** Whether the key does what it should, by the configuration’s own login. */
export async function checkTransitKey(config: KmsConfig, options: KeyCheckOptions): Promise<readonly Check[]> {
  await using backend = await kmsBackend(config.backend, SEAL_CONTEXT)
  let key: KeyFacts
  try {
    key = factsOf(config, await backend.observe({ signal: options.signal }), options.now.getTime())
  } catch (error) {
    return [troubleOf('policy-keys-read', error), skipped('policy-encrypt', 'the key cannot be looked at')]
  }
  return [
    passed('policy-keys-read', countOf(key)),
    ...(await tryKey(backend, key, options.signal)),
    checkKeyId(options.keyId, key),
  ]
}

/** The keyring of this node, as its store lists it. No device is asked: that is for `sealctl kms keyring show --try`. */
export async function checkKeyring(
  config: KmsConfig,
  { keyId, now, signal }: KeyCheckOptions,
): Promise<readonly Check[]> {
  try {
    const key = await readKeyFacts(config, { nowMs: now.getTime(), signal })
    return [passed('keyring-store', countOf(key)), checkKeyId(keyId, key)]
  } catch (error) {
    return [
      failed(
        'keyring-store',
        wordsOf(error),
        'lost: sealctl kms keyring recover or import; damaged: see the runbook of the keyring (A damaged keyring)',
      ),
    ]
  }
}

function countOf({ versions, active }: KeyFacts): string {
  return `${versions.length} ${versions.length === 1 ? 'version' : 'versions'}, ${active.version} encrypts`
}

async function tryKey(
  backend: ConfiguredBackend,
  { active }: KeyFacts,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const { version } = active
  using plaintext = new Secret(randomKeyBytes(SEED_BYTES))
  let wrapped: Uint8Array
  try {
    wrapped = await backend.encrypt({ version, plaintext, associatedData: ASSOCIATED_DATA }, { signal })
  } catch (error) {
    return [troubleOf('policy-encrypt', error), skipped('policy-decrypt', 'nothing could be encrypted')]
  }
  const encrypts = passed('policy-encrypt', `version ${version} encrypts`)
  try {
    using opened = await backend.decrypt({ version, wrapped, associatedData: ASSOCIATED_DATA }, { signal })
    const isSame = opened.equals(plaintext)
    return [
      encrypts,
      isSame
        ? passed('policy-decrypt', `version ${version} decrypts`)
        : failed(
            'policy-decrypt',
            'it decrypts to something else than was encrypted',
            'stop using this key, and report it',
          ),
    ]
  } catch (error) {
    return [encrypts, troubleOf('policy-decrypt', error)]
  }
}

/** What the backend says, with the words of what is behind it. A bug passes through. */
function troubleOf(id: CheckId, error: unknown): Check {
  if (!(error instanceof KmsError) && !(error instanceof KmsCommandError)) throw error
  const behind = error.cause instanceof Error ? `: ${error.cause.message}` : ''
  const remedy = 'write the policy as sealctl kms policy openbao prints it, and look at the key: sealctl kms verify-key'
  return failed(id, `${error.code}: ${error.message}${behind}`, remedy)
}

function checkKeyId(keyId: string | undefined, { versions }: KeyFacts): Check {
  if (keyId === undefined) return skipped('key-id-matches-backend', 'the plugin does not answer')
  const found = versions.find(each => each.keyId === keyId)
  if (found !== undefined) return passed('key-id-matches-backend', `the plugin encrypts by version ${found.version}`)
  return failed(
    'key-id-matches-backend',
    `the plugin encrypts by ${keyId}, which is no version of this key`,
    'it runs with another configuration, or the key was replaced: see the runbook before anything else',
  )
}
