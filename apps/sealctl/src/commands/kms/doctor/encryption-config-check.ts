import { readFile } from 'node:fs/promises'
import { type KmsConfig } from '@sealwright/kms-config'
import { errorCodeOf } from '@sealwright/system-error'
import * as v from 'valibot'
import { parse } from 'yaml'
import { type Check, failed, note, passed, warning } from './check.ts'

const DEFAULT_TIMEOUT_MS = 3_000
const MAX_BYTES = 1_048_576

/** Kubernetes' own: what is used is checked, the rest is its business. */
const kms = v.object({
  apiVersion: v.optional(v.string(), 'v1'),
  name: v.string(),
  endpoint: v.string(),
  timeout: v.optional(v.string()),
})
const provider = v.looseObject({ kms: v.optional(kms) })
const configuration = v.object({
  kind: v.literal('EncryptionConfiguration'),
  apiVersion: v.string(),
  resources: v.array(v.object({ resources: v.array(v.string()), providers: v.array(provider) })),
})

type Rule = v.InferOutput<typeof configuration>['resources'][number]

/** How kube-apiserver is told to use this plugin: by the first rule for Secrets, as kube-apiserver takes it. */
export async function checkEncryptionConfig(path: string, config: KmsConfig): Promise<readonly Check[]> {
  let rules: readonly Rule[]
  try {
    const text = await readFile(path, 'utf8')
    if (text.length > MAX_BYTES) throw new Error('it is too long')
    rules = v.parse(configuration, parse(text)).resources
  } catch (error) {
    const what = reasonOf(error)
    return [
      failed('encryption-config', `${path}: ${what}`, 'sealctl kms encryption-config makes one; keep what is there'),
    ]
  }
  const rule = rules.find(({ resources }) => resources.some(resource => ['secrets', '*.', '*.*'].includes(resource)))
  if (rule === undefined) {
    return [failed('encryption-config', `${path}: no rule is about Secrets`, 'add secrets to its resources')]
  }
  return [checkFirst(path, rule, config), ...checkTimeout(path, rule, config), checkIdentity(path, rule)]
}

/** Not the parser's words: they may quote a key of another provider. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && 'syscall' in error) return errorCodeOf(error) ?? 'it cannot be read'
  return v.isValiError(error) ? (v.getDotPath(error.issues[0]) ?? 'its form') : 'no YAML'
}

function ours(rule: Rule, { socket }: KmsConfig) {
  return rule.providers.flatMap(({ kms: found }, index) =>
    found?.endpoint === `unix://${socket.path}` ? [{ ...found, index }] : [],
  )[0]
}

function checkFirst(path: string, rule: Rule, config: KmsConfig): Check {
  const endpoint = `unix://${config.socket.path}`
  const found = ours(rule, config)
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

function checkTimeout(path: string, rule: Rule, config: KmsConfig): readonly Check[] {
  const found = ours(rule, config)
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

function checkIdentity(path: string, { providers }: Rule): Check {
  const index = providers.findIndex(each => 'identity' in each)
  if (index === -1) return passed('encryption-config', `${path}: nothing is read or written in clear`)
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
