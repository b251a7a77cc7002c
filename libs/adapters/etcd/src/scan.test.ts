import { type ServerResponse } from 'node:http'
import { type EtcdOptions, type EtcdPage, openEtcd } from './index.ts'
import { type Gateway, json, rangeOf, startGateway } from './testing/gateway.ts'

const { signal } = new AbortController()
const bytes = (text: string): Uint8Array => Buffer.from(text)

/** The pages of a whole scan. */
async function pagesOf(options: EtcdOptions, prefix = '/r/', scanSignal = signal): Promise<readonly EtcdPage[]> {
  await using etcd = openEtcd(options)
  const pages: EtcdPage[] = []
  for await (const page of etcd.scan(bytes(prefix), { signal: scanSignal })) pages.push(page)
  return pages
}

async function answering(answer: (response: ServerResponse) => void): Promise<Gateway> {
  return await startGateway(answer)
}

const keysOf = (pages: readonly EtcdPage[]): readonly string[] =>
  pages.flatMap(({ entries }) => entries.map(({ key }) => Buffer.from(key).toString()))

describe('a scan', () => {
  it('reads page after page as they were at the moment of the first', async () => {
    await using gateway = await startGateway((response, { key }) => {
      if (key === '/r/') json(response, rangeOf({ '/r/a': '1', '/r/b': '' }, { count: '3', more: true }))
      else json(response, { ...rangeOf({ '/r/c': '3' }), header: { cluster_id: '255', revision: '9' } })
    })
    const pages = await pagesOf({ endpoints: [gateway.endpoint] })
    expect(keysOf(pages)).toEqual(['/r/a', '/r/b', '/r/c'])
    expect(pages[0]).toMatchObject({ clusterId: 'ff', revision: 7, total: 3 })
    expect(pages[1]).toMatchObject({ clusterId: 'ff', revision: 7, total: 3 })
    expect(pages[0]?.entries[1]?.value).toHaveLength(0)
    expect(gateway.asked).toEqual([
      { path: 'POST /v3/kv/range', key: '/r/', end: '/r0', limit: 256, revision: undefined },
      { path: 'POST /v3/kv/range', key: '/r/b\0', end: '/r0', limit: expect.any(Number) as number, revision: 7 },
    ])
  })

  it('of no prefix is one of all keys', async () => {
    await using gateway = await startGateway(response => {
      json(response, rangeOf({ '\u{10ffff}': 'x' }))
    })
    expect(keysOf(await pagesOf({ endpoints: [gateway.endpoint] }, ''))).toEqual(['\u{10ffff}'])
    expect(gateway.asked).toMatchObject([{ key: '\0', end: '\0' }])
  })

  it('of nothing has one empty page', async () => {
    await using gateway = await startGateway(response => {
      json(response, { header: { cluster_id: '255', revision: '7' } })
    })
    expect(await pagesOf({ endpoints: [gateway.endpoint] })).toEqual([
      { clusterId: 'ff', revision: 7, total: 0, entries: [] },
    ])
  })

  it('asks for less where objects are large, for more where they are small, and never for more than it takes', async () => {
    const big = 'x'.repeat(300_000)
    await using gateway = await startGateway((response, { key, limit }) => {
      const at = key === '/r/' ? 0 : Number(key.slice(3, 7)) + 1
      const numbers = Array.from({ length: Math.min(limit, 40 - at) }, (_, index) => at + index)
      const entries = Object.fromEntries(numbers.map(number => [`/r/${String(number).padStart(4, '0')}`, big]))
      json(response, rangeOf(entries, { count: String(40 - at), more: at + limit < 40 }))
    })
    const pages = await pagesOf({ endpoints: [gateway.endpoint], maxResponseBytes: 5_000_000 })
    expect(keysOf(pages)).toHaveLength(40)
    // 256 and 64 keys have more bytes than an answer may have.
    expect(gateway.asked.slice(0, 3).map(({ limit }) => limit)).toEqual([256, 64, 16])
    expect(Math.max(...gateway.asked.slice(3).map(({ limit }) => limit))).toBeLessThan(8)
  })

  it('fails for one key that is larger than an answer may be', async () => {
    await using gateway = await startGateway(response => {
      json(response, rangeOf({ '/r/a': 'x'.repeat(3_000) }))
    })
    await expect(pagesOf({ endpoints: [gateway.endpoint], maxResponseBytes: 2_000 })).rejects.toMatchObject({
      code: 'ETCD_RESPONSE_TOO_LARGE',
    })
    expect(gateway.asked.at(-1)?.limit).toBe(1)
  })

  it.each<[string, object]>([
    ['a key before the first', rangeOf({ '/q': '1' })],
    ['a key behind the last', rangeOf({ '/s': '1' })],
    ['a key behind the last that begins another prefix', rangeOf({ '/r0': '1' })],
    ['keys out of order', rangeOf({ '/r/b': '1', '/r/a': '1' })],
    ['fewer keys than it counts', rangeOf({ '/r/a': '1' }, { count: '2' })],
    ['more keys than it counts', rangeOf({ '/r/a': '1', '/r/b': '1' }, { count: '1' })],
    ['more to come, and nothing', rangeOf({}, { more: true })],
    ['no header', { kvs: [] }],
    ['a revision that is no number', { header: { cluster_id: '1', revision: 'x' } }],
    ['a revision beyond all numbers', { header: { cluster_id: '1', revision: '9007199254740993' } }],
    ['keys that are no list', rangeOf({}, { kvs: {} })],
    ['a key that is no base64', rangeOf({}, { kvs: [{ key: 'a', value: '' }] })],
    ['a value that is no base64', rangeOf({}, { kvs: [{ key: 'L3IvYQ==', value: '!' }] })],
  ])('refuses an answer with %s', async (_what, body) => {
    await using gateway = await startGateway(response => {
      json(response, body)
    })
    await expect(pagesOf({ endpoints: [gateway.endpoint] })).rejects.toMatchObject({
      name: 'EtcdError',
      code: 'ETCD_RESPONSE_MALFORMED',
    })
  })

  it('refuses more keys than it has asked for', async () => {
    const entries = Object.fromEntries(Array.from({ length: 257 }, (_, index) => [`/r/${1_000 + index}`, '']))
    await using gateway = await startGateway(response => {
      json(response, rangeOf(entries))
    })
    await expect(pagesOf({ endpoints: [gateway.endpoint] })).rejects.toMatchObject({ code: 'ETCD_RESPONSE_MALFORMED' })
  })
})

describe('what etcd answers', () => {
  it.each<[string, number, unknown]>([
    ['ETCD_COMPACTED', 400, { code: 11, message: 'etcdserver: mvcc: required revision has been compacted' }],
    ['ETCD_OTHER_CLUSTER', 400, { code: 11, message: 'etcdserver: mvcc: required revision is a future revision' }],
    ['ETCD_DENIED', 400, { code: 3, message: 'etcdserver: user name is empty' }],
    ['ETCD_DENIED', 403, { code: 7, message: 'etcdserver: permission denied' }],
    ['ETCD_DENIED', 401, 'a proxy’s page'],
    ['ETCD_UNAVAILABLE', 503, { code: 14, message: 'etcdserver: no leader' }],
    ['ETCD_UNAVAILABLE', 504, { code: 4, message: 'etcdserver: request timed out' }],
    [
      'ETCD_GATEWAY_BROKEN',
      503,
      {
        code: 14,
        message: 'connection error: desc = "error reading server preface: remote error: tls: bad certificate"',
      },
    ],
    ['ETCD_REFUSED', 404, { code: 5, message: 'Not Found' }],
    ['ETCD_REFUSED', 500, '<html>'],
    ['ETCD_RESPONSE_MALFORMED', 200, '<html>'],
  ])('is %s for status %d and %j', async (code, status, body) => {
    await using gateway = await startGateway(response => {
      response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body))
    })
    await expect(pagesOf({ endpoints: [gateway.endpoint] })).rejects.toMatchObject({ code })
  })

  it('is quoted on one line, and shortened', async () => {
    await using gateway = await startGateway(response => {
      json(response, { code: 13, message: `bad\u001b[2J\n${'x'.repeat(1_000)}` }, 500)
    })
    const error: unknown = await pagesOf({ endpoints: [gateway.endpoint] }).catch((cause: unknown) => cause)
    expect(error).toMatchObject({
      code: 'ETCD_REFUSED',
      message: expect.stringMatching(/status 500: bad \[2J x+$/) as string,
    })
    expect((error as Error).message.length).toBeLessThan(300)
  })

  it('is cut off', async () => {
    await using gateway = await startGateway(response => {
      response.writeHead(200, { 'Content-Length': '100' })
      response.write('{"header":')
      setImmediate(() => response.destroy())
    })
    await expect(pagesOf({ endpoints: [gateway.endpoint] })).rejects.toMatchObject({ code: 'ETCD_CONNECTION_CUT' })
  })

  it('never comes', async () => {
    await using gateway = await startGateway(() => undefined)
    await expect(pagesOf({ endpoints: [gateway.endpoint], timeoutMs: 100 })).rejects.toMatchObject({
      code: 'ETCD_TIMEOUT',
      message: `etcd at ${gateway.endpoint}: no answer in 100 ms`,
    })
  })

  it('is not waited for when the caller has gone', async () => {
    const controller = new AbortController()
    await using gateway = await startGateway(() => {
      controller.abort()
    })
    await expect(pagesOf({ endpoints: [gateway.endpoint] }, '', controller.signal)).rejects.toMatchObject({
      code: 'ETCD_CANCELLED',
    })
  })
})

describe('several addresses', () => {
  const nobody = 'http://127.0.0.1:1'

  it('are tried in their order; the one that answered is asked on', async () => {
    await using sick = await answering(response => {
      json(response, { code: 14, message: 'etcdserver: no leader' }, 503)
    })
    await using gateway = await startGateway((response, { key }) => {
      if (key === '/r/') json(response, rangeOf({ '/r/a': '1' }, { count: '2', more: true }))
      else json(response, rangeOf({ '/r/b': '2' }))
    })
    const pages = await pagesOf({ endpoints: [nobody, sick.endpoint, gateway.endpoint] })
    expect(keysOf(pages)).toEqual(['/r/a', '/r/b'])
    expect([sick.asked.length, gateway.asked.length]).toEqual([1, 2])
  })

  it('are all named when none answers', async () => {
    const error: unknown = await pagesOf({ endpoints: [nobody, 'http://127.0.0.1:2'] }).catch((cause: unknown) => cause)
    expect(error).toMatchObject({
      code: 'ETCD_UNREACHABLE',
      message:
        'etcd at http://127.0.0.1:1: no connection (ECONNREFUSED); etcd at http://127.0.0.1:2: no connection (ECONNREFUSED)',
    })
  })

  it('must be of one cluster', async () => {
    await using gateway = await startGateway((response, { key }) => {
      const clusterId = key === '/r/' ? '1' : '2'
      const header = { header: { cluster_id: clusterId, revision: '7' } }
      json(
        response,
        rangeOf({ [key === '/r/' ? '/r/a' : '/r/b']: '1' }, { ...header, count: '2', more: key === '/r/' }),
      )
    })
    await expect(pagesOf({ endpoints: [gateway.endpoint] })).rejects.toMatchObject({ code: 'ETCD_OTHER_CLUSTER' })
  })

  it('are not tried after an answer that all would give', async () => {
    await using denying = await answering(response => {
      json(response, { code: 7, message: 'etcdserver: permission denied' }, 403)
    })
    await expect(pagesOf({ endpoints: [denying.endpoint, nobody] })).rejects.toMatchObject({ code: 'ETCD_DENIED' })
  })
})
