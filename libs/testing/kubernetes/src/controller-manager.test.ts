import { temporaryFolder } from '@sealwright/testing-rig'
import { createClusterIdentity, ensureNamespace, startApiServer, startControllerManager, startEtcd } from './index.ts'

describe('startControllerManager', () => {
  it('gives each namespace its account and the authority of the API server, and ends deleted ones', async () => {
    await using folder = await temporaryFolder()
    const directory = folder.path
    const identity = await createClusterIdentity({ directory })
    await using etcd = await startEtcd({ directory })
    await using apiServer = await startApiServer({ directory, identity, etcd })
    await using manager = await startControllerManager({ directory, apiServer })
    const path = '/api/v1/namespaces/tenant'
    const status = async (rest: string) => (await apiServer.request({ path: `${path}${rest}` })).status

    await ensureNamespace(apiServer, 'tenant')
    await apiServer.waitFor(async () => (await status('/serviceaccounts/default')) === 200, { what: 'the account' })
    await apiServer.waitFor(async () => (await status('/configmaps/kube-root-ca.crt')) === 200, { what: 'the ca.crt' })
    const { body } = await apiServer.request({ path: `${path}/configmaps/kube-root-ca.crt` })
    expect(body).toMatchObject({ data: { 'ca.crt': identity.authority.certificatePem } })

    await apiServer.request({ method: 'DELETE', path })
    await apiServer.waitFor(async () => (await status('')) === 404, { what: 'the end of the namespace' })
    expect(manager.process().end()).toBeUndefined()
  }, 120_000)
})
