import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type CertificateAuthority,
  certificateAuthority,
  freePort,
  type OpenBaoNode,
  type RigRequest,
  type RigResponse,
  startOpenBao,
} from '@sealwright/testing-rig'

/** Name of the key. */
export const KMS_KEY = 'kubernetes'
const POLICY_NAME = 'kms'
const INIT_TIMEOUT_MS = 60_000
const FIRST_ERROR_STATUS = 300

const rule = (path: string, capability: string): string => `path "${path}" { capabilities = ["${capability}"] }\n`

/** What the KMS plugin needs, and no more. */
export const KMS_POLICY = [
  rule(`transit/encrypt/${KMS_KEY}`, 'update'),
  rule(`transit/decrypt/${KMS_KEY}`, 'update'),
  rule(`transit/keys/${KMS_KEY}`, 'read'),
  rule('auth/token/renew-self', 'update'),
  rule('auth/token/revoke-self', 'update'),
].join('')

/** A real OpenBao with a transit key, and its operator. */
export interface TransitOpenBao extends AsyncDisposable {
  readonly node: OpenBaoNode
  readonly rootToken: string
  readonly authority: CertificateAuthority | undefined
  /** A token of the policy lies in it. */
  readonly tokenFile: string
  /** As its operator. Throws for anything but success. */
  readonly administer: (request: Omit<RigRequest, 'token'>) => Promise<RigResponse>
  /** Puts a new token into {@link TransitOpenBao.tokenFile}: with these fields of `auth/token/create`. */
  readonly writeToken: (fields?: Readonly<Record<string, unknown>>) => Promise<string>
  readonly writePolicy: (policy: string) => Promise<void>
  readonly rotate: () => Promise<void>
  /** Sets fields of the key's configuration, such as `min_decryption_version`. */
  readonly configure: (fields: Readonly<Record<string, unknown>>) => Promise<void>
  /** Backend of a plugin's configuration that uses the key. */
  readonly backend: (changes?: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>
}

export interface TransitOpenBaoOptions {
  /** Of this server alone. */
  readonly directory: string
  /** Default: plain HTTP on loopback. */
  readonly withTls?: boolean
  readonly extraHcl?: string
}

/** Starts a server, initialises it, and makes key, policy and token. */
export async function startTransitOpenBao({
  directory,
  withTls = false,
  extraHcl,
}: TransitOpenBaoOptions): Promise<TransitOpenBao> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const authority = withTls ? await certificateAuthority({ directory: join(directory, 'tls') }) : undefined
  const issued = await authority?.issue({ name: 'openbao', usage: 'server' })
  const keyFile = join(directory, 'seal.key')
  const tokenFile = join(directory, 'kms.token')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  const node = await startOpenBao({
    ...{ directory: join(directory, 'openbao'), nodeId: 'openbao' },
    ...{ apiPort: await freePort(), clusterPort: await freePort(), performanceMultiplier: 1 },
    seal: { kind: 'static', keyFile },
    ...(authority === undefined || issued === undefined
      ? {}
      : { tls: { ...issued, caPath: authority.certificatePath } }),
    ...(extraHcl === undefined ? {} : { extraHcl }),
  })
  const init = await node.request({
    ...{ method: 'PUT', path: 'sys/init', timeoutMs: INIT_TIMEOUT_MS },
    body: { recovery_shares: 1, recovery_threshold: 1 },
  })
  const rootToken = (init.body as { readonly root_token: string }).root_token
  await node.waitFor('active')

  const bao: TransitOpenBao = {
    ...{ node, rootToken, authority, tokenFile },
    administer: async request => {
      const answer = await node.request({ ...request, token: rootToken })
      if (answer.status >= FIRST_ERROR_STATUS) {
        throw new Error(`OpenBao answers ${request.path} with ${JSON.stringify(answer)}`)
      }
      return answer
    },
    writeToken: async (fields = {}) => {
      const { body } = await bao.administer({
        ...{ method: 'POST', path: 'auth/token/create' },
        body: { policies: [POLICY_NAME], no_default_policy: true, ...fields },
      })
      const { client_token: text } = (body as { readonly auth: { readonly client_token: string } }).auth
      await writeFile(tokenFile, text, { mode: 0o600 })
      return text
    },
    writePolicy: async policy => {
      await bao.administer({ method: 'POST', path: `sys/policies/acl/${POLICY_NAME}`, body: { policy } })
    },
    rotate: async () => {
      await bao.administer({ method: 'POST', path: `transit/keys/${KMS_KEY}/rotate` })
    },
    configure: async fields => {
      await bao.administer({ method: 'POST', path: `transit/keys/${KMS_KEY}/config`, body: fields })
    },
    backend: changes => ({
      ...{ type: 'transit', addresses: [node.apiAddress], keyName: KMS_KEY },
      auth: { method: 'token', tokenFile },
      ...(authority === undefined ? {} : { tls: { caFile: authority.certificatePath } }),
      ...changes,
    }),
    [Symbol.asyncDispose]: async () => {
      await node[Symbol.asyncDispose]()
    },
  }
  await bao.administer({ method: 'POST', path: 'sys/mounts/transit', body: { type: 'transit' } })
  await bao.administer({ method: 'POST', path: `transit/keys/${KMS_KEY}`, body: { type: 'aes256-gcm96' } })
  await bao.writePolicy(KMS_POLICY)
  await bao.writeToken()
  return bao
}
