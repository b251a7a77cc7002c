import { codeOf } from './testing/read.ts'
import { metaJson } from './testing/write-snapshot.ts'
import { parseMetadata } from './metadata.ts'

const server = (changes: Readonly<Record<string, unknown>>) => ({
  Configuration: { Servers: [{ Suffrage: 0, ID: 'n1', Address: '127.0.0.1:8201', ...changes }] },
})

describe('meta.json', () => {
  it('is read as OpenBao writes it', () => {
    const servers = [0, 1, 2].map(suffrage => ({ Suffrage: suffrage, ID: `n${suffrage}`, Address: `h${suffrage}:1` }))
    expect(parseMetadata(metaJson(99, { Configuration: { Servers: servers } }))).toEqual({
      version: 1,
      id: 'bolt-snapshot',
      index: 30,
      term: 3,
      configurationIndex: 1,
      servers: [
        { id: 'n0', address: 'h0:1', suffrage: 'voter' },
        { id: 'n1', address: 'h1:1', suffrage: 'nonvoter' },
        { id: 'n2', address: 'h2:1', suffrage: 'staging' },
      ],
      stateBytes: 99,
    })
  })

  it('may name no server, and fields that we do not know', () => {
    expect(parseMetadata(metaJson(1, { Configuration: { Servers: null }, Newer: 1 })).servers).toEqual([])
  })

  it.each([
    ['no JSON', Buffer.from('{')],
    ['nothing', Buffer.alloc(0)],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a list', Buffer.from('[]')],
    ['null', Buffer.from('null')],
    ['another version', metaJson(1, { Version: 2 })],
    ['no version', metaJson(1, { Version: undefined })],
    ['an id that is no text', metaJson(1, { ID: 1 })],
    ['no index', metaJson(1, { Index: undefined })],
    ['an index that a number cannot hold', Buffer.from(metaJson(1).toString().replace('30', '9007199254740993'))],
    ['a negative term', metaJson(1, { Term: -1 })],
    ['half a configuration index', metaJson(1, { ConfigurationIndex: 0.5 })],
    ['no size', metaJson(1, { Size: '1' })],
    ['no configuration', metaJson(1, { Configuration: null })],
    ['servers that are no list', metaJson(1, { Configuration: { Servers: {} } })],
    ['a server that is no object', metaJson(1, { Configuration: { Servers: ['n1'] } })],
    ['an unknown suffrage', metaJson(1, server({ Suffrage: 3 }))],
    ['a server without id', metaJson(1, server({ ID: undefined }))],
    ['a server without address', metaJson(1, server({ Address: 1 }))],
  ])('is refused: %s', async (_case, bytes) => {
    const parse = async () => await Promise.resolve(parseMetadata(bytes))
    expect(await codeOf(parse())).toBe('RAFT_SNAPSHOT_META_MALFORMED')
  })
})
