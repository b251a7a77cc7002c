import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type Etcd, startEtcd } from './index.ts'

let folder: TemporaryFolder
let etcd: Etcd

beforeAll(async () => {
  folder = await temporaryFolder()
  etcd = await startEtcd({ directory: folder.path })
})

afterAll(async () => {
  await etcd.stop()
  await folder.remove()
})

const bytes = (...values: readonly number[]): Uint8Array => Buffer.from(values)

describe('startEtcd', () => {
  it('reads and writes raw bytes, and knows what is not there', async () => {
    await etcd.put('/raw', bytes(0, 255, 10, 0))
    expect(await etcd.get('/raw')).toEqual(bytes(0, 255, 10, 0))
    await etcd.put('/empty', bytes())
    expect(await etcd.get('/empty')).toEqual(bytes())
    expect(await etcd.get('/ra')).toBeNull()
  })

  it('lists what begins with a prefix, over several pages, in the order of the keys', async () => {
    const names = Array.from({ length: 401 }, (_, index) => `/list/${String(index).padStart(3, '0')}`)
    for (const name of names) await etcd.put(name, Buffer.from(name))
    await etcd.put('/lisu', bytes(1))
    const entries = await etcd.list('/list/')
    expect(entries.map(entry => entry.key)).toEqual(names)
    expect(entries.map(entry => Buffer.from(entry.value).toString())).toEqual(names)
    expect(entries[1]?.modRevision).toBe((entries[0]?.modRevision ?? NaN) + 1)
    expect(await etcd.list('/list/40')).toHaveLength(1)
    expect(await etcd.list('/none/')).toEqual([])
    await expect(etcd.list('')).rejects.toMatchObject({ code: 'RIG_INVALID' })
  })

  it('runs the real etcdctl, which prints what operators see', async () => {
    await etcd.put('/ctl', Buffer.from('k8s:enc:kms:v2:x:'))
    expect((await etcd.etcdctl(['get', '/ctl', '--print-value-only'])).toString()).toBe('k8s:enc:kms:v2:x:\n')
    await expect(etcd.etcdctl(['get'])).rejects.toMatchObject({
      code: 'RIG_PROCESS_ENDED',
      message: expect.stringContaining('get command needs one argument') as string,
    })
  })

  it('keeps its data when it is killed and started again', async () => {
    await etcd.put('/kept', bytes(7))
    const before = etcd.pid()
    etcd.kill()
    expect(await etcd.process().exited).toEqual({ code: null, signal: 'SIGKILL' })
    await etcd.start()
    expect(etcd.pid()).not.toBe(before)
    expect(await etcd.get('/kept')).toEqual(bytes(7))
    await expect(etcd.start()).rejects.toMatchObject({ code: 'RIG_INVALID' })
  })

  it('gives up when its caller does', async () => {
    await expect(startEtcd({ directory: folder.join('other'), signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'RIG_CANCELLED',
    })
  })
})
