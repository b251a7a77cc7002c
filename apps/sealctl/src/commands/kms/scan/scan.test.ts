import { keyOf, kmsObject, NOW_MS, storedBy } from '../testing/stored.ts'
import { findingOf } from './finding.ts'
import { resourceOf } from './resource.ts'
import { openTally, type Tally } from './tally.ts'
import { judge, type VerdictOptions } from './verdict.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const MINUTE_MS = 60_000
const PLAIN = bytes('k8s\0\n\x0e')

/** What a scan finds in these objects. */
function tallyOf(objects: Readonly<Record<string, Uint8Array>>, key = keyOf(2), examples = 1): Tally {
  const keeper = openTally(key, { examples })
  for (const [path, value] of Object.entries(objects)) keeper.add({ key: bytes(path), value })
  return keeper.tally()
}

function verdictOf(tally: Tally, key = keyOf(2), options: Partial<VerdictOptions> = {}) {
  return judge(tally, key, { scannedAtMs: NOW_MS, settleMs: 5 * MINUTE_MS, prefix: '', ...options })
}

describe('a finding', () => {
  it.each([
    ['by the active version', storedBy({ version: 2 }), { kind: 'ours', version: 2, provider: 'sealwright' }],
    ['by an older version', storedBy({ version: 1 }), { kind: 'ours', version: 1 }],
    ['under another name', storedBy({ version: 2, name: 'former' }), { kind: 'ours', provider: 'former' }],
    ['by a version that does not exist', storedBy({ version: 3 }), { kind: 'lost', version: 3 }],
    ['by a key that was replaced', storedBy({ version: 2, lineage: 40 }), { kind: 'lost', version: 2 }],
    ['for another cluster', storedBy({ version: 2, clusterId: 'other' }), { kind: 'lost', version: 2 }],
    ['by another kind of backend', storedBy({ version: 2, provider: 'keyring' }), { kind: 'lost', version: 2 }],
    [
      'by another plugin',
      kmsObject('aws', 'arn:1', bytes('x')),
      { kind: 'other-kms', keyId: 'arn:1', provider: 'aws' },
    ],
    ['in clear', PLAIN, { kind: 'plaintext' }],
    ['by a key in a file', bytes('k8s:enc:aescbc:v1:k1:x'), { kind: 'local', method: 'aescbc', keyName: 'k1' }],
    ['damaged', storedBy({ version: 2 }).subarray(0, 60), { kind: 'damaged' }],
  ])('tells what is %s', (_what, value, expected) => {
    expect(findingOf(value, keyOf(2))).toMatchObject(expected)
  })

  it('knows versions that were retired', () => {
    const key = keyOf(3, { oldestDecryptable: 3 })
    expect(findingOf(storedBy({ version: 1 }), key)).toMatchObject({ kind: 'ours', version: 1 })
    expect(findingOf(storedBy({ version: 4 }), key)).toMatchObject({ kind: 'lost', version: 4 })
  })
})

describe('a resource', () => {
  it.each([
    ['/registry/secrets/default/a', 'secrets'],
    ['/registry/secrets/default/a.b', 'secrets'],
    ['/registry/namespaces/a', 'namespaces'],
    ['/registry/apiregistration.k8s.io/apiservices/v1.', 'apiservices.apiregistration.k8s.io'],
    ['/registry/example.org/things/default/a', 'things.example.org'],
    ['/other-prefix/secrets/default/a', 'secrets'],
    ['compact_rev_key', 'compact_rev_key'],
    ['/health', 'health'],
    ['', ''],
  ])('of %s is %s', (key, expected) => {
    expect(resourceOf(bytes(key))).toBe(expected)
  })
})

describe('a tally', () => {
  it('counts what is stored in the same way, with the first names', () => {
    const tally = tallyOf({
      '/registry/secrets/a/1': storedBy({ version: 1 }),
      '/registry/secrets/a/2': storedBy({ version: 1 }),
      '/registry/secrets/a/3': storedBy({ version: 2 }),
      '/registry/configmaps/a/4': storedBy({ version: 1 }),
      '/registry/pods/a/5': PLAIN,
    })
    expect(tally).toMatchObject({ objects: 5, ungrouped: 0 })
    expect(tally.groups.map(({ resource, objects, examples }) => [resource, objects, examples])).toEqual([
      ['secrets', 2, ['/registry/secrets/a/1']],
      ['secrets', 1, ['/registry/secrets/a/3']],
      ['configmaps', 1, ['/registry/configmaps/a/4']],
      ['pods', 1, ['/registry/pods/a/5']],
    ])
  })

  it('does not grow without end, however many kinds somebody writes into etcd', () => {
    const keeper = openTally(keyOf(2), { examples: 0 })
    for (let index = 0; index < 20_010; index += 1) {
      keeper.add({ key: bytes('/registry/secrets/a'), value: kmsObject('x', `key ${index}`, bytes('x')) })
    }
    const { groups, objects, ungrouped } = keeper.tally()
    expect([groups.length, objects, ungrouped]).toEqual([20_000, 20_010, 10])
    expect(verdictOf(keeper.tally()).reasons).toContain('10 objects are of more kinds than can be told apart')
  })
})

describe('the verdict', () => {
  const ALL_NEW = { '/registry/secrets/a/1': storedBy({ version: 2 }) }

  it('lets the older versions go when nothing is encrypted by them', () => {
    expect(verdictOf(tallyOf(ALL_NEW))).toEqual({ version: 1, reasons: [], warnings: [] })
  })

  it('keeps a version by which anything is still encrypted, and names what', () => {
    const tally = tallyOf({ ...ALL_NEW, '/registry/configmaps/a/1': storedBy({ version: 1 }) })
    expect(verdictOf(tally)).toMatchObject({
      version: 1,
      reasons: ['1 object is encrypted by version 1 or an older one: configmaps'],
    })
  })

  it('is about the version that is asked for', () => {
    const key = keyOf(3)
    const tally = tallyOf({ a: storedBy({ version: 2 }), b: storedBy({ version: 3 }) }, key)
    expect(verdictOf(tally, key, { version: 1 })).toMatchObject({ version: 1, reasons: [] })
    expect(verdictOf(tally, key)).toMatchObject({ version: 2, reasons: [expect.stringContaining('version 2')] })
  })

  it('keeps the version that new data is encrypted by, and says what is missing', () => {
    expect(verdictOf(tallyOf(ALL_NEW), keyOf(2), { version: 2 }).reasons[0]).toMatch(
      /^version 2 is the one .*rotate the key first/,
    )
    const waiting = keyOf(2, { newestAgeMs: MINUTE_MS })
    expect(waiting.active.version).toBe(1)
    expect(verdictOf(tallyOf({ a: storedBy({ version: 1 }) }, waiting), waiting, { version: 1 }).reasons[0]).toBe(
      'version 1 is the one that new data is encrypted by: version 2 waits until 2026-01-02T03:08:05.000Z',
    )
  })

  it('keeps the version that the plugin of this node still encrypts by', () => {
    expect(verdictOf(tallyOf(ALL_NEW), keyOf(2), { encryptingHere: 1 }).reasons[0]).toContain('version 1 is the one')
  })

  it('waits until no API server can write by the version before any more', () => {
    // Active since a minute: it was made six minutes ago, and waits for five.
    const young = keyOf(2, { newestAgeMs: 6 * MINUTE_MS })
    expect(young.active.version).toBe(2)
    expect(verdictOf(tallyOf(ALL_NEW, young), young).reasons).toEqual([
      'an API server may write by an older version until 2026-01-02T03:08:05.000Z: write the data anew and look again after that',
    ])
    expect(verdictOf(tallyOf(ALL_NEW, young), young, { scannedAtMs: NOW_MS + 4 * MINUTE_MS }).reasons).toEqual([])
  })

  it('of a key with one version has nothing to retire', () => {
    const key = keyOf(1, { newestAgeMs: MINUTE_MS })
    expect(verdictOf(tallyOf({ a: storedBy({ version: 1 }) }, key), key)).toEqual({
      ...{ version: 0, reasons: [], warnings: [] },
    })
  })

  it.each([
    ['is damaged', { '/registry/secrets/x': storedBy({ version: 2 }).subarray(0, 60) }, /^1 object is damaged/],
    [
      'is of another cluster id',
      { '/registry/secrets/x': storedBy({ version: 2, clusterId: 'b' }) },
      /^1 object is .*not by a version of this key.*clusterId/,
    ],
  ])('is no while something %s', (_what, object, reason) => {
    const { reasons } = verdictOf(tallyOf({ ...ALL_NEW, ...object }))
    expect(reasons).toEqual([expect.stringMatching(reason)])
  })

  it('is no when nothing is encrypted at all: it may be another etcd', () => {
    expect(verdictOf(tallyOf({ '/registry/pods/a/5': PLAIN })).reasons).toEqual([
      'nothing at all is encrypted by this key: is it the right etcd, and the right prefix?',
    ])
  })

  it('is no when something under our own name is by somebody else', () => {
    const tally = tallyOf({ ...ALL_NEW, '/registry/secrets/x': kmsObject('sealwright', 'k', bytes('x')) })
    expect(verdictOf(tally, keyOf(2), { provider: 'sealwright' }).reasons[0]).toContain('none of Sealwright’s')
    expect(verdictOf(tally)).toMatchObject({ reasons: [], warnings: ['1 object is encrypted in another way: secrets'] })
  })

  it('warns of what is in clear though its like is encrypted, and of nothing else that is', () => {
    const objects = { ...ALL_NEW, '/registry/secrets/a/2': PLAIN, '/registry/pods/a/1': PLAIN }
    expect(verdictOf(tallyOf(objects))).toMatchObject({
      reasons: [],
      warnings: ['1 object is stored in clear: secrets'],
    })
  })

  it('warns of other names, and of a part that was not looked at', () => {
    const tally = tallyOf({ ...ALL_NEW, '/registry/secrets/x': storedBy({ version: 2, name: 'former' }) })
    expect(verdictOf(tally, keyOf(2), { provider: 'sealwright', prefix: '/registry/secrets/' }).warnings).toEqual([
      '1 object is by this key under another provider’s name than sealwright: secrets',
      'only keys that begin with /registry/secrets/ were looked at',
    ])
  })

  it('cries out over what nobody can read any more', () => {
    const key = keyOf(3, { oldestDecryptable: 3 })
    const tally = tallyOf(
      { '/registry/secrets/x': storedBy({ version: 1 }), '/registry/secrets/y': storedBy({ version: 3 }) },
      key,
    )
    expect(verdictOf(tally, key)).toMatchObject({
      reasons: [expect.stringContaining('1 object is encrypted by version 2 or an older one')],
      warnings: [expect.stringContaining('NOBODY CAN READ')],
    })
  })
})
