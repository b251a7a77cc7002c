import { readFile } from 'node:fs/promises'
import { type Etcd, kubelabPath, startEtcd } from '@sealwright/testing-kubernetes'
import {
  certificateAuthority,
  type CertificateAuthority,
  freePort,
  type StartedProcess,
  startProcess,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { Secret } from '@sealwright/secret'
import { EtcdError, type EtcdOptions, type EtcdPage, openEtcd } from './index.ts'

const { signal } = new AbortController()
const bytes = (text: string): Uint8Array => Buffer.from(text)

let folder: TemporaryFolder

beforeAll(async () => {
  folder = await temporaryFolder()
})

afterAll(async () => {
  await folder.remove()
})

async function scan(options: EtcdOptions, prefix: string): Promise<readonly EtcdPage[]> {
  await using etcd = openEtcd(options)
  const pages: EtcdPage[] = []
  for await (const page of etcd.scan(bytes(prefix), { signal })) pages.push(page)
  return pages
}

describe('a real etcd', () => {
  let etcd: Etcd

  beforeAll(async () => {
    etcd = await startEtcd({ directory: folder.join('plain') })
    for (let index = 0; index < 700; index += 1) {
      await etcd.put(`/registry/secrets/a/${String(index).padStart(4, '0')}`, bytes(`value ${index}`))
    }
    await etcd.put('compact_rev_key', bytes('1'))
  })

  afterAll(async () => {
    await etcd.stop()
  })

  it('is read as it was when the scan began, whatever is written and deleted meanwhile', async () => {
    await using reader = openEtcd({ endpoints: [etcd.endpoint] })
    const values: string[] = []
    let total = 0
    let revision = 0
    for await (const page of reader.scan(bytes('/registry/'), { signal })) {
      if (values.length === 0) {
        await etcd.put('/registry/secrets/a/0699', bytes('changed'))
        await etcd.put('/registry/secrets/b/new', bytes('new'))
        await etcd.etcdctl(['del', '/registry/secrets/a/0698'])
      }
      ;({ total, revision } = page)
      values.push(...page.entries.map(({ value }) => Buffer.from(value).toString()))
    }
    expect(values).toEqual(Array.from({ length: 700 }, (_, index) => `value ${index}`))
    expect([total, revision]).toEqual([700, 702])
    // Behind the prefix there is one more.
    const all = (await scan({ endpoints: [etcd.endpoint] }, '')).flatMap(({ entries }) => entries)
    expect(all).toHaveLength(701)
    const { clusterId } = (await scan({ endpoints: [etcd.endpoint] }, '/none/'))[0] ?? {}
    expect((await etcd.etcdctl(['endpoint', 'status', '-w', 'fields'])).toString()).toContain(
      `"ClusterID" : ${BigInt(`0x${clusterId ?? ''}`)}`,
    )
  })

  it('has forgotten the moment of a scan that took too long', async () => {
    await using reader = openEtcd({ endpoints: [etcd.endpoint] })
    const compactAfterFirst = async (): Promise<void> => {
      let isFirst = true
      for await (const page of reader.scan(bytes('/registry/'), { signal })) {
        if (isFirst) {
          await etcd.put('/registry/z', bytes('z'))
          await etcd.etcdctl(['compaction', String(page.revision + 1)])
        }
        isFirst = false
      }
    }
    await expect(compactAfterFirst()).rejects.toMatchObject({ code: 'ETCD_COMPACTED' })
  })
})

describe('an etcd with certificates, as kubeadm has it', () => {
  let authority: CertificateAuthority
  let process: StartedProcess
  let endpoint: string

  beforeAll(async () => {
    authority = await certificateAuthority({ directory: folder.join('pki') })
    const server = await authority.issue({ name: 'etcd', usage: 'server' })
    const gateway = await authority.issue({ name: 'gateway', usage: 'client' })
    endpoint = `https://127.0.0.1:${await freePort()}`
    const peer = `http://127.0.0.1:${await freePort()}`
    process = await startProcess({
      name: 'etcd-tls',
      command: kubelabPath(),
      args: [
        'etcd',
        `--data-dir=${folder.join('tls-data')}`,
        `--listen-client-urls=${endpoint}`,
        `--advertise-client-urls=${endpoint}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=default=${peer}`,
        `--cert-file=${server.certificatePath}`,
        `--key-file=${server.privateKeyPath}`,
        // Its gateway asks it as a client. kubeadm's certificate is for both.
        `--client-cert-file=${gateway.certificatePath}`,
        `--client-key-file=${gateway.privateKeyPath}`,
        '--client-cert-auth',
        `--trusted-ca-file=${authority.certificatePath}`,
        '--unsafe-no-fsync',
      ],
      logDirectory: folder.path,
    })
    await process.waitFor(
      async () => {
        try {
          return (await scan(await ownOptions(), '/registry/')).length > 0
        } catch (error) {
          if (error instanceof EtcdError && error.code === 'ETCD_UNREACHABLE') return false
          throw error
        }
      },
      { what: 'etcd to answer', timeoutMs: 30_000 },
    )
  })

  afterAll(async () => {
    await process.stop()
  })

  const ownOptions = async (usage: 'client' | 'server' = 'client'): Promise<EtcdOptions> => {
    const { certificatePath, privateKeyPath } = await authority.issue({ name: `apiserver-${usage}`, usage })
    const privateKeyPem = new Secret(Uint8Array.from(await readFile(privateKeyPath)))
    const clientCertificate = { certificatePem: await readFile(certificatePath, 'utf8'), privateKeyPem }
    return { endpoints: [endpoint], caPem: authority.certificatePem, clientCertificate }
  }

  it('is read with a client certificate of its authority', async () => {
    const [page] = await scan(await ownOptions(), '')
    expect(page?.entries).toEqual([])
  })

  it('refuses who has none', async () => {
    const { caPem = '', endpoints } = await ownOptions()
    await expect(scan({ endpoints, caPem }, '')).rejects.toMatchObject({ code: 'ETCD_TLS' })
  })

  it('is not believed without the right authority', async () => {
    const other = await certificateAuthority({ directory: folder.join('other-pki') })
    await expect(scan({ ...(await ownOptions()), caPem: other.certificatePem }, '')).rejects.toMatchObject({
      code: 'ETCD_TLS',
      message: expect.stringContaining('check the CA') as string,
    })
  })

  it('is not asked with a key of another certificate', async () => {
    const [one, other] = [await ownOptions(), await ownOptions('server')]
    const { certificatePem = '' } = one.clientCertificate ?? {}
    const { privateKeyPem } = other.clientCertificate ?? {}
    if (privateKeyPem === undefined) throw new Error('it was made above')
    expect(() => openEtcd({ ...one, clientCertificate: { certificatePem, privateKeyPem } })).toThrow(
      expect.objectContaining({ code: 'ETCD_OPTIONS_INVALID' }) as Error,
    )
  })
})
