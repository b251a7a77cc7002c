import { temporaryFolder } from '@sealwright/testing-rig'
import { createClusterIdentity, startApiServer, startEtcd } from './index.ts'

describe('the example in the README', () => {
  it('does what its comments say', async () => {
    await using folder = await temporaryFolder()
    const identity = await createClusterIdentity({ directory: folder.path })
    await using etcd = await startEtcd({ directory: folder.path })
    await using server = await startApiServer({
      directory: folder.path,
      identity,
      etcd,
      encryption: {
        providers: [{ kms: { name: 'sealwright', socketPath: folder.join('kms.sock') } }, 'identity'],
      },
      until: 'ready-except-kms',
    })
    const report = await server.health('readyz')
    expect(report.failing).toEqual(['kms-providers'])
    await server.kubectl(['create', 'configmap', 'a', '--from-literal=b=c'])
    const stored = await etcd.get('/registry/configmaps/default/a')
    expect(Buffer.from(stored ?? []).toString('latin1')).toMatch(/^k8s\0/)
  })
})
