import { type KmsConfig } from '@sealwright/kms-config'
import { SealctlError } from '../../../errors.ts'
import { readEncryptionFile } from '../encryption/file.ts'
import { type EncryptionProvider, pluginAt, rulesOf } from '../encryption/rules.ts'
import { KmsCommandError } from '../errors.ts'
import { type Check, failed, note, passed, warning } from './check.ts'

const DEFAULT_TIMEOUT_MS = 3_000

/** How kube-apiserver is told to use this plugin: by all entries for Secrets, of which the first provider writes and each one reads. */
export async function checkEncryptionConfig(path: string, config: KmsConfig): Promise<readonly Check[]> {
  let providers: readonly EncryptionProvider[]
  try {
    const { rules } = await readEncryptionFile(path)
    providers = rulesOf(rules, 'secrets').flatMap(rule => rule.providers)
  } catch (error) {
    if (!(error instanceof SealctlError || error instanceof KmsCommandError)) throw error
    return [failed('encryption-config', error.message, 'sealctl kms encryption-config makes one; keep what is there')]
  }
  if (providers.length === 0) {
    return [failed('encryption-config', `${path}: no rule is about Secrets`, 'add secrets to its resources')]
  }
  return [
    checkFirst(path, providers, config),
    ...checkTimeout(path, providers, config),
    checkIdentity(path, providers, config),
  ]
}

function ours(providers: readonly EncryptionProvider[], { socket }: KmsConfig) {
  const isOurs = pluginAt(`unix://${socket.path}`)
  return providers.flatMap((each, index) => (isOurs(each) ? [{ ...each, index }] : []))[0]
}

function checkFirst(path: string, providers: readonly EncryptionProvider[], config: KmsConfig): Check {
  const endpoint = `unix://${config.socket.path}`
  const found = ours(providers, config)
  if (found === undefined) {
    return failed(
      'encryption-config',
      `${path}: no provider for Secrets has the endpoint ${endpoint}`,
      'put it in: sealctl kms encryption-config --from FILE',
    )
  }
  if (found.apiVersion !== 'v2') {
    return failed(
      'encryption-config',
      `${path}: ${found.name} has apiVersion ${found.apiVersion}`,
      'this plugin speaks v2 alone: apiVersion: v2',
    )
  }
  if (found.index > 0) {
    return warning(
      'encryption-config',
      `${path}: ${found.name} is provider number ${found.index + 1} for Secrets: it decrypts, and nothing new is encrypted by it`,
      'once all API servers have it, put it first',
    )
  }
  return passed('encryption-config', `${path}: ${found.name} is first for Secrets, apiVersion v2`)
}

function checkTimeout(path: string, providers: readonly EncryptionProvider[], config: KmsConfig): readonly Check[] {
  const found = ours(providers, config)
  if (found === undefined || config.backend.type !== 'transit') return []
  const timeoutMs = found.timeout === undefined ? DEFAULT_TIMEOUT_MS : durationMs(found.timeout)
  if (timeoutMs === undefined) {
    return [failed('encryption-config', `${path}: timeout ${found.timeout ?? ''} cannot be read`, 'timeout: 3s')]
  }
  const { deadlineMs } = config.backend
  const words = `${path}: kube-apiserver waits ${timeoutMs} ms, the plugin ${deadlineMs} ms`
  if (timeoutMs > deadlineMs) return [passed('encryption-config', words)]
  return [
    warning('encryption-config', words, 'nobody hears what is wrong: timeout: 3s, and backend.deadlineMs below it'),
  ]
}

function checkIdentity(path: string, providers: readonly EncryptionProvider[], config: KmsConfig): Check {
  const index = providers.findIndex(({ kind }) => kind === 'identity')
  if (index === -1) return passed('encryption-config', `${path}: nothing is read or written in clear`)
  if (index === 0 && ours(providers, config) !== undefined) {
    // As in the rounds in which the plugin comes in, or goes: to put it first before all API servers have it would be wrong.
    return note(
      'encryption-config',
      `${path}: Secrets are written in clear as yet: identity is first`,
      'the next step of the rounds, or of the way out: see the runbook',
    )
  }
  if (index === 0) {
    return failed('encryption-config', `${path}: identity is first: Secrets are written in clear`, 'put it last')
  }
  const isLast = index === providers.length - 1
  const words = `${path}: what is stored in clear is still read (identity${isLast ? ', last' : ''})`
  return note(
    'encryption-config',
    words,
    'once sealctl kms verify-rotation --encryption-config FILE ends with 0: sealctl kms encryption-config --from FILE --final',
  )
}

const UNITS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  ns: 0.000_001,
}

/** A duration of Go, such as `3s` or `1m30s`; undefined if it is none. */
function durationMs(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:h|ms|us|µs|ns|m|s))+$/.test(text)) return undefined
  return [...text.matchAll(/(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)/g)].reduce(
    (sum, [, number = '', unit = '']) => sum + Number(number) * (UNITS[unit] ?? 0),
    0,
  )
}
