import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import {
  certificateAuthority,
  freePort,
  type OpenBaoNode,
  type RigRequest,
  type RigResponse,
  startOpenBao,
} from '@sealwright/testing-rig'
import { type TestScope } from './test-scope.ts'

/** Another OpenBao with a transit key, and a token that may use it and nothing else. */
export interface TestTransit {
  readonly server: OpenBaoNode
  /** A seal of this key, for a node's configuration. */
  seal(fields?: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>
  /** Kills the server, or starts it again. */
  setPresent(isPresent: boolean): Promise<void>
  /** As its administrator. Throws for anything but success. */
  administer(request: Omit<RigRequest, 'token'>): Promise<RigResponse>
  /** Puts a new token into the token file: with these fields of `auth/token/create`. */
  writeToken(fields?: Readonly<Record<string, unknown>>): Promise<string>
  /** Allows what a seal needs, after it was taken away. */
  writePolicy(): Promise<void>
  /** From now on the server has a certificate of an authority that nobody trusts; or the right one again. */
  setTrusted(isTrusted: boolean): Promise<void>
}

/** Name of the key at the other OpenBao. */
export const TRANSIT_KEY = 'sealwright'
const POLICY_NAME = 'seal'
const POLICY = ['encrypt', 'decrypt']
  .map(path => `path "transit/${path}/${TRANSIT_KEY}" { capabilities = ["update"] }\n`)
  .concat(`path "transit/keys/${TRANSIT_KEY}" { capabilities = ["read"] }\n`)
  .join('')
const INIT_TIMEOUT_MS = 60_000
const FIRST_ERROR_STATUS = 300

/** Starts it, with TLS. */
export async function startTestTransit(scope: TestScope): Promise<TestTransit> {
  const { folder } = scope
  const authority = await certificateAuthority({ directory: folder.join('other-tls') })
  const stranger = await certificateAuthority({ directory: folder.join('stranger-tls') })
  const issued = await authority.issue({ name: 'other', usage: 'server' })
  const issuedByStranger = await stranger.issue({ name: 'other', usage: 'server' })
  const [keyFile, tokenFile, caPath] = [folder.join('other.key'), folder.join('other.token'), folder.join('both.ca')]
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  // The test itself goes on with the server whichever certificate it has.
  await writeFile(caPath, authority.certificatePem + stranger.certificatePem)
  const server = await startOpenBao({
    ...{ directory: folder.join('other'), nodeId: 'other', apiPort: await freePort(), clusterPort: await freePort() },
    ...{ seal: { kind: 'static', keyFile }, tls: { ...issued, caPath } },
  })
  scope.use(server)
  const { body } = await server.request({
    ...{ method: 'PUT', path: 'sys/init', timeoutMs: INIT_TIMEOUT_MS },
    body: { recovery_shares: 1, recovery_threshold: 1 },
  })
  const token = (body as { readonly root_token: string }).root_token
  await server.waitFor('active')

  const transit: TestTransit = {
    server,
    seal: fields => ({
      ...{ name: 'backup', type: 'transit', priority: 3, address: server.apiAddress, keyName: TRANSIT_KEY },
      ...{
        auth: { method: 'token', tokenFile },
        tls: { caFile: authority.certificatePath },
        deadlineMs: 5_000,
        ...fields,
      },
    }),
    async setPresent(isPresent) {
      if (isPresent === (server.process().end() === undefined)) return
      if (isPresent) await server.start({ until: 'active' })
      else {
        server.kill()
        await server.process().exited
      }
    },
    async administer(request) {
      const answer = await server.request({ ...request, token })
      if (answer.status >= FIRST_ERROR_STATUS) {
        throw new Error(`the other OpenBao answers ${request.path} with ${JSON.stringify(answer)}`)
      }
      return answer
    },
    async writeToken(fields = {}) {
      const { body: made } = await transit.administer({
        ...{ method: 'POST', path: 'auth/token/create' },
        body: { policies: [POLICY_NAME], no_default_policy: true, ...fields },
      })
      const { client_token: text } = (made as { readonly auth: { readonly client_token: string } }).auth
      await writeFile(tokenFile, text, { mode: 0o600 })
      return text
    },
    async writePolicy() {
      await transit.administer({
        method: 'POST',
        path: `sys/policies/acl/${POLICY_NAME}`,
        body: { policy: POLICY },
      })
    },
    setTrusted: isTrusted =>
      server.restart({ tls: { ...(isTrusted ? issued : issuedByStranger), caPath }, until: 'active' }),
  }
  await transit.administer({ method: 'POST', path: 'sys/mounts/transit', body: { type: 'transit' } })
  await transit.administer({ method: 'POST', path: `transit/keys/${TRANSIT_KEY}`, body: { type: 'aes256-gcm96' } })
  await transit.writePolicy()
  await transit.writeToken()
  return transit
}

/** Takes the policy of the seal's tokens away. */
export async function removePolicy(transit: TestTransit): Promise<void> {
  await transit.administer({ method: 'DELETE', path: `sys/policies/acl/${POLICY_NAME}` })
}
