import { RigError } from '@sealwright/testing-rig'
import { expectStatus } from './api-request.ts'
import { type ApiServer } from './api-server.ts'

/** HTTP status of something made, and of something that is there already. */
const CREATED = 201
const CONFLICT = 409

/** Makes a namespace, unless it is there. */
export async function ensureNamespace(server: ApiServer, namespace: string): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }
  const answer = await server.request({ method: 'POST', path: '/api/v1/namespaces', body })
  expectStatus(answer, `the new namespace ${namespace}`, CREATED, CONFLICT)
}

/** Makes a service account and its namespace, unless they are there. */
export async function ensureServiceAccount(
  server: ApiServer,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<void> {
  await ensureNamespace(server, namespace)
  const body = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } }
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts`
  expectStatus(await server.request({ method: 'POST', path, body }), `the new account ${name}`, CREATED, CONFLICT)
}

/**
 * A token of a service account by the TokenRequest API, as a Pod gets it into a projected volume.
 *
 * @param options.audiences - the API server itself, when there are none.
 * @param options.ttlSeconds - the API server takes no less than 600.
 * @throws {@link RigError} `RIG_INVALID` if the API server refuses.
 */
export async function serviceAccountToken(
  server: ApiServer,
  options: {
    readonly namespace: string
    readonly name: string
    readonly audiences?: readonly string[]
    readonly ttlSeconds?: number
  },
): Promise<string> {
  const { namespace, name, audiences = [], ttlSeconds = 3600 } = options
  const answer = await server.request({
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences, expirationSeconds: ttlSeconds },
    },
  })
  expectStatus(answer, `a token of ${namespace}/${name}`, CREATED)
  const { status } = answer.body as { readonly status?: { readonly token?: unknown } }
  if (typeof status?.token !== 'string') throw new RigError('RIG_INVALID', 'the TokenRequest has no token')
  return status.token
}
