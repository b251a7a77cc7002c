import { Secret } from '@sealwright/secret'
import { type ReadSecret } from '../auth/auth-method.ts'
import { openTransit, type TransitAccess, type TransitOptions } from '../transit/transit-access.ts'
import { openTransitPool, type TransitPool, type TransitPoolOptions } from '../transit-pool/transit-pool.ts'

/** What the tests need of a server of the rig. */
export interface AskableNode {
  readonly apiAddress: string
  readonly caPath: string | undefined
  readonly request: (request: {
    readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
    readonly path: string
    readonly body?: unknown
    readonly token?: string
    readonly timeoutMs?: number
  }) => Promise<{ readonly status: number; readonly body: unknown }>
  readonly waitFor: (condition: 'active') => Promise<void>
}

/** A policy that needs nothing but the two operations. No test's token has the `default` policy. */
export const USE_ONLY = 'use-only'
/** The same, and reading the key. */
export const USE_AND_READ = 'use-and-read'
/** The same as {@link USE_ONLY}, and what a token may do with itself. */
export const USE_AND_RENEW = 'use-and-renew'

export const KEY_NAME = 'sealwright'

/** An OpenBao with a transit key, as its operator sees it. */
export interface SecondOpenBao {
  readonly rootToken: string
  /** Asks with the root token. Throws for any status that is no success. */
  readonly ask: (method: 'GET' | 'PUT' | 'POST' | 'DELETE', path: string, body?: unknown) => Promise<Fields>
  /** A fresh token with these policies alone. */
  readonly token: (policies: readonly string[], options?: object) => Promise<string>
}

/** A JSON object of which the test knows what it holds. */
export type Fields = Readonly<Record<string, unknown>>

/** Initialises a server with an automatic seal, and gives it a transit engine, a key and policies. */
export async function prepareTransit(node: AskableNode): Promise<SecondOpenBao> {
  const body = { recovery_shares: 1, recovery_threshold: 1 }
  const init = await node.request({ method: 'PUT', path: 'sys/init', body, timeoutMs: 60_000 })
  const rootToken = textAt(init.body as Fields, 'root_token')
  await node.waitFor('active')
  const ask: SecondOpenBao['ask'] = async (method, path, sent) => {
    const answer = await node.request({ method, path, token: rootToken, ...(sent === undefined ? {} : { body: sent }) })
    if (answer.status < 300) return (answer.body ?? {}) as Fields
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  }
  await ask('POST', 'sys/mounts/transit', { type: 'transit' })
  await ask('POST', `transit/keys/${KEY_NAME}`, { type: 'aes256-gcm96' })
  const use = ['encrypt', 'decrypt'].map(verb => rule(`transit/${verb}/+`, 'update')).join('\n')
  const self = ['renew-self', 'revoke-self'].map(verb => rule(`auth/token/${verb}`, 'update')).join('\n')
  await ask('PUT', `sys/policies/acl/${USE_ONLY}`, { policy: use })
  await ask('PUT', `sys/policies/acl/${USE_AND_READ}`, { policy: `${use}\n${rule('transit/keys/+', 'read')}` })
  await ask('PUT', `sys/policies/acl/${USE_AND_RENEW}`, { policy: `${use}\n${self}` })
  const token: SecondOpenBao['token'] = async (policies, options = {}) => {
    const made = await ask('POST', 'auth/token/create', { policies, no_default_policy: true, ...options })
    return textAt(made.auth as Fields, 'client_token')
  }
  return { rootToken, ask, token }
}

/** A rule of a policy. */
export function rule(path: string, capability: string): string {
  return `path "${path}" { capabilities = ["${capability}"] }`
}

/** A text in an answer. */
export function textAt(fields: Fields, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string') throw new Error(`no text "${name}" in ${JSON.stringify(Object.keys(fields))}`)
  return value
}

export const secretOf = (text: string): Secret => new Secret(new TextEncoder().encode(text))

/** Reads the same credential each time, as from a file. */
export function reads(text: string | (() => string)): ReadSecret {
  return async () => await Promise.resolve(secretOf(typeof text === 'string' ? text : text()))
}

const opened: (TransitAccess | TransitPool)[] = []

/** A way to {@link KEY_NAME} that {@link closeTransits} closes. */
export function transitOf(
  node: AskableNode,
  options: Partial<TransitOptions> & Pick<TransitOptions, 'auth'>,
): TransitAccess {
  const { apiAddress: address, caPath } = node
  const trust = caPath === undefined ? {} : { trust: { kind: 'ca-file', path: caPath } as const }
  const access = openTransit({ address, ...trust, keyName: KEY_NAME, ...options })
  opened.push(access)
  return access
}

/** A way to {@link KEY_NAME} by any of these nodes, of one cluster, that {@link closeTransits} closes. */
export function poolOf(
  nodes: readonly AskableNode[],
  options: Partial<TransitPoolOptions> & Pick<TransitPoolOptions, 'auth'>,
): TransitPool {
  const caPath = nodes[0]?.caPath
  const trust = caPath === undefined ? {} : { trust: { kind: 'ca-file', path: caPath } as const }
  const addresses = nodes.map(({ apiAddress }) => apiAddress)
  const pool = openTransitPool({ addresses, ...trust, keyName: KEY_NAME, ...options })
  opened.push(pool)
  return pool
}

/** For `afterEach`. */
export async function closeTransits(): Promise<void> {
  await Promise.all(
    opened.splice(0).map(async access => {
      await access.close()
    }),
  )
}
