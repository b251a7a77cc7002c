import { writeFile } from 'node:fs/promises'
import {
  KMS_KEY,
  PROVIDER_NAME,
  readSecret,
  startTransitOpenBao,
  type TransitOpenBao,
  writeSecret,
} from '@sealwright/testing-kms'
import {
  type ApiServer,
  createClusterIdentity,
  ensureServiceAccount,
  expectStatus,
  serviceAccountToken,
  startApiServer,
  startEtcd,
} from '@sealwright/testing-kubernetes'
import { type KmsSubject, REFUSED, startSubject } from './kms-subject.ts'
import { sharedScope } from './test-scope.ts'

// OpenBao's kubernetes login with a real kube-apiserver behind it: it is that one which says whose token this is.
const scope = sharedScope()

const REFUSAL = `UNAVAILABLE: ${REFUSED}`
const ILLNESS = `KMS_BACKEND_REFUSED: ${REFUSED}`
const AUDIENCE = 'openbao'
const PLUGIN = { namespace: 'kube-system', name: 'kms-plugin' }
const REVIEWER = { namespace: 'kube-system', name: 'openbao' }
const CREATED = 201

let api: ApiServer
let bao: TransitOpenBao
let jwtFile: string
let subject: KmsSubject

beforeAll(async () => {
  const identity = await createClusterIdentity({ directory: scope.folder.join('pki') })
  const etcd = scope.use(await startEtcd({ directory: scope.folder.join('etcd') }))
  api = scope.use(await startApiServer({ directory: scope.folder.join('api'), identity, etcd }))
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
  await letReview()
  await configureLogin()
  jwtFile = scope.folder.join('jwt')
  await ensureServiceAccount(api, PLUGIN)
  const token = await tokenOf(PLUGIN)
  await writeFile(jwtFile, token, { mode: 0o600 })
  subject = await startSubject(scope, {
    backend: bao.backend({ auth: { method: 'kubernetes', role: 'kms', jwtFile } }),
    forbidden: [KMS_KEY, new URL(bao.node.apiAddress).host, new URL(api.url).host, token, jwtFile, 'transit/'],
  })
}, 300_000)

it('lets the plugin in by the token of its service account', async () => {
  expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
  await subject.waitUntilWell()
})

it.each<[string, () => Promise<string>]>([
  ['of another service account', async () => await newTokenOf({ ...PLUGIN, name: 'somebody-else' })],
  ['of the same name in another namespace', async () => await newTokenOf({ ...PLUGIN, namespace: 'default' })],
  ['for another audience', async () => await tokenOf(PLUGIN, 'somebody-else')],
  ['that was signed by nobody', async () => `${(await tokenOf(PLUGIN)).slice(0, -8)}AAAAAAAA`],
])('refuses a token %s, and takes the right one afterwards', async (_, foreign) => {
  await writeFile(jwtFile, await foreign())
  await revokeLogins()
  await isRefused()
  await writeFile(jwtFile, await tokenOf(PLUGIN))
  await isWell()
})

it('goes on with the token that it has while kube-apiserver is down, and logs in again once it is up', async () => {
  await api.stop()
  // That the plugin's own API server is down is just when its key is needed.
  expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
  await revokeLogins()
  await isRefused()
  await api.start()
  await isWell()
})

it('comes up, after a power cut, with the very API server that it logs in by and whose Secrets wait for it', async () => {
  const { plugin } = subject
  const kms = { name: PROVIDER_NAME, socketPath: plugin.socketPath }
  await api.restart({ encryption: { providers: [{ kms }] } })
  await writeSecret(api, 'first', 'a word that nobody else says')
  for (const process of [api.process(), plugin.process()]) {
    process.kill('SIGKILL')
    await process.exited
  }
  await revokeLogins()
  await plugin.start()
  await api.start()
  expect(await readSecret(api, 'first')).toBe('a word that nobody else says')
  await isWell()
})

it('refuses the token of a service account that was deleted, though it has not expired', async () => {
  const path = `/api/v1/namespaces/${PLUGIN.namespace}/serviceaccounts/${PLUGIN.name}`
  expectStatus(await api.request({ method: 'DELETE', path }), 'the end of the account', 200)
  await revokeLogins()
  await isRefused()
  await writeFile(jwtFile, await newTokenOf(PLUGIN))
  await isWell()
})

async function isRefused(): Promise<void> {
  await subject.waitForDecrypt(REFUSAL)
  await subject.waitUntilIll(ILLNESS)
}

async function isWell(): Promise<void> {
  await subject.waitForDecrypt('OK')
  await subject.waitUntilWell()
}

async function revokeLogins(): Promise<void> {
  await bao.administer({ method: 'POST', path: 'sys/leases/revoke-prefix/auth/kubernetes', body: { sync: true } })
}

async function tokenOf(account: typeof PLUGIN, audience = AUDIENCE): Promise<string> {
  return await serviceAccountToken(api, { ...account, audiences: [audience] })
}

async function newTokenOf(account: typeof PLUGIN): Promise<string> {
  await ensureServiceAccount(api, account)
  return await tokenOf(account)
}

/** OpenBao's own account may ask whose a token is. */
async function letReview(): Promise<void> {
  await ensureServiceAccount(api, REVIEWER)
  const binding = {
    ...{
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'openbao-reviews' },
    },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:auth-delegator' },
    subjects: [{ kind: 'ServiceAccount', ...REVIEWER }],
  }
  const path = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'
  expectStatus(await api.request({ method: 'POST', path, body: binding }), 'the right to review', CREATED)
}

async function configureLogin(): Promise<void> {
  const post = async (path: string, body: object): Promise<void> => {
    await bao.administer({ method: 'POST', path, body })
  }
  await post('sys/auth/kubernetes', { type: 'kubernetes' })
  await post('auth/kubernetes/config', {
    ...{ kubernetes_host: api.url, kubernetes_ca_cert: api.identity.authority.certificatePem },
    ...{ disable_local_ca_jwt: true, token_reviewer_jwt: await serviceAccountToken(api, REVIEWER) },
  })
  await post('auth/kubernetes/role/kms', {
    ...{ bound_service_account_names: PLUGIN.name, bound_service_account_namespaces: PLUGIN.namespace },
    ...{ audience: AUDIENCE, token_policies: ['kms'], token_no_default_policy: true },
  })
}
