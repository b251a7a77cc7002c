import { parseEncryptionFile } from '../encryption/file.ts'
import { keyOf, kmsObject, NOW_MS, storedBy } from '../testing/stored.ts'
import { findingOf } from './finding.ts'
import { judgeLeaving } from './leaving.ts'
import { keyedResource, labelOf } from './resource.ts'
import { openTally, type Tally } from './tally.ts'
import { type EncryptionToCheck, judge, type VerdictOptions } from './verdict.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const MINUTE_MS = 60_000
const PLAIN = plainOf('v1')

const OUR_KEY_ID = 'sealwright.v1.R8m5jmRZjWcu4Pl0JV2s5GVNBVcmQkHKUXhyfFQHYO0'

/** An object in clear, as kube-apiserver stores it in protobuf. */
function plainOf(apiVersion: string): Uint8Array {
  const field = (text: string): string => `\n${String.fromCharCode(text.length)}${text}`
  return bytes(`k8s\0${field(field(apiVersion))}`)
}

/** What a scan finds in these objects. */
function tallyOf(objects: Readonly<Record<string, Uint8Array>>, key = keyOf(2), examples = 1): Tally {
  const keeper = openTally(key, { examples })
  for (const [path, value] of Object.entries(objects)) keeper.add({ key: bytes(path), value })
  return keeper.tally()
}

function verdictOf(tally: Tally, key = keyOf(2), options: Partial<VerdictOptions> = {}) {
  return judge(tally, key, { scannedAtMs: NOW_MS, settleMs: 5 * MINUTE_MS, prefix: '', elsewhere: [], ...options })
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
    ['damaged behind our key id', kmsObject('sealwright', OUR_KEY_ID, bytes('SWKM?')), { kind: 'damaged' }],
    ['damaged, whatever the name', kmsObject('other', OUR_KEY_ID, bytes('x')), { kind: 'damaged' }],
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
    ['/registry/services/specs/default/a', 'services'],
    ['/registry/services/endpoints/default/a', 'endpoints'],
    ['/registry/minions/a', 'nodes'],
    ['/registry/controllers/default/a', 'replicationcontrollers'],
    ['/registry/ingress/default/a', 'ingresses'],
    ['/other-prefix/secrets/default/a', 'secrets'],
    ['compact_rev_key', 'compact_rev_key'],
    ['/health', 'health'],
    ['', ''],
  ])('of %s is %s', (key, expected) => {
    expect(labelOf(keyedResource(bytes(key)))).toBe(expected)
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
    const { cautions, ...verdict } = verdictOf(tallyOf(ALL_NEW))
    expect(verdict).toEqual({ version: 1, reasons: [], warnings: [] })
    expect(cautions).toEqual([
      expect.stringMatching(/^etcds that are not named here were not looked at: those of --etcd-servers-overrides/),
      expect.stringMatching(
        /^no plugin answers here, and those of other nodes were not asked. On EVERY control-plane node .* version 2 /,
      ),
      expect.stringContaining('before identity goes, name the file with --encryption-config'),
    ])
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
    expect(
      verdictOf(tallyOf(ALL_NEW), keyOf(2), { encryptingHere: { kind: 'by-version', version: 1 } }).reasons,
    ).toEqual(['the plugin of this node still encrypts by version 1, and not by 2: see sealctl kms verify-key'])
  })

  it('is no, whatever was asked, where nobody knows by what the plugin of this node encrypts', () => {
    const encryptingHere = { kind: 'unclear', why: 'it encrypts by x, which is no version' } as const
    for (const version of [0, 1]) {
      expect(verdictOf(tallyOf(ALL_NEW), keyOf(2), { version, encryptingHere }).reasons).toEqual([
        'it encrypts by x, which is no version: see sealctl kms verify-key',
      ])
    }
  })

  it('speaks of the other nodes alone where the plugin of this one has said by what it encrypts', () => {
    const encryptingHere = { kind: 'by-version', version: 2 } as const
    expect(verdictOf(tallyOf(ALL_NEW), keyOf(2), { encryptingHere }).cautions[1]).toMatch(
      /^the plugins of other nodes were not asked/,
    )
  })

  it('waits until no API server can write by the version before any more', () => {
    // Active since a minute: it was made six minutes ago, and waits for five.
    const young = keyOf(2, { newestAgeMs: 6 * MINUTE_MS })
    expect(young.active.version).toBe(2)
    expect(verdictOf(tallyOf(ALL_NEW, young), young).reasons).toEqual([
      'an API server may write by an older version until 2026-01-02T03:08:05.000Z, or longer: write the data anew and look again after that',
    ])
    expect(verdictOf(tallyOf(ALL_NEW, young), young, { scannedAtMs: NOW_MS + 4 * MINUTE_MS }).reasons).toEqual([])
  })

  it('waits all the same when OpenBao does not describe the version before any more', () => {
    const young = keyOf(2, { newestAgeMs: 6 * MINUTE_MS, oldestDecryptable: 2 })
    expect(verdictOf(tallyOf(ALL_NEW, young), young).reasons[0]).toContain(
      'an API server may write by an older version',
    )
  })

  it('of a key with one version has nothing to retire', () => {
    const key = keyOf(1, { newestAgeMs: MINUTE_MS })
    expect(verdictOf(tallyOf({ a: storedBy({ version: 1 }) }, key), key)).toMatchObject({
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
    [
      'is encrypted by nobody knows what',
      { '/registry/secrets/x': bytes('k8s:enc:kms:v3:x:') },
      /is not known, or damaged/,
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

  it('is no when something under the name of our plugin is by somebody else', () => {
    const other = { '/registry/secrets/x': kmsObject('sealwright', 'k', bytes('x')) }
    // The name is that of what is ours, or the one that is given.
    expect(verdictOf(tallyOf({ ...ALL_NEW, ...other }))).toMatchObject({
      ...{
        warnings: [],
        reasons: [expect.stringMatching(/^1 object is under the name of this plugin .* none of Sealw/)],
      },
    })
    const former = { a: storedBy({ version: 2, name: 'former' }), ...other }
    expect(verdictOf(tallyOf(former), keyOf(2), { provider: 'sealwright' }).reasons[0]).toContain(
      'none of Sealwright’s',
    )
    expect(verdictOf(tallyOf(former))).toMatchObject({
      ...{ reasons: [], warnings: ['1 object is encrypted in another way: secrets'] },
    })
  })

  it('warns of what is in clear though its like is encrypted, and of nothing else that is', () => {
    const objects = { ...ALL_NEW, '/registry/secrets/a/2': PLAIN, '/registry/pods/a/1': PLAIN }
    expect(verdictOf(tallyOf(objects))).toMatchObject({
      reasons: [],
      warnings: ['1 object is stored in clear: secrets'],
    })
  })

  it('warns of other names', () => {
    const tally = tallyOf({ ...ALL_NEW, '/registry/secrets/x': storedBy({ version: 2, name: 'former' }) })
    expect(verdictOf(tally, keyOf(2), { provider: 'sealwright' })).toMatchObject({
      ...{ reasons: [], warnings: ['1 object is by this key under another provider’s name than sealwright: secrets'] },
    })
  })

  it('is no when only a part was looked at', () => {
    expect(verdictOf(tallyOf(ALL_NEW), keyOf(2), { prefix: '/registry/secrets/' }).reasons).toEqual([
      'only keys that begin with /registry/secrets/ were looked at: what else there is nobody has seen',
    ])
  })

  it('is no, whatever version is asked about, while there is data that nobody can read any more', () => {
    const key = keyOf(3, { oldestDecryptable: 3 })
    const tally = tallyOf(
      { '/registry/secrets/x': storedBy({ version: 2 }), '/registry/secrets/y': storedBy({ version: 3 }) },
      key,
    )
    expect(verdictOf(tally, key, { version: 1 })).toMatchObject({
      ...{ version: 1, reasons: [expect.stringMatching(/^1 object is encrypted by a version .* NOBODY CAN READ/)] },
    })
    expect(verdictOf(tally, key).reasons).toEqual([
      expect.stringContaining('1 object is encrypted by version 2 or an older one'),
      expect.stringContaining('NOBODY CAN READ until it does again (lower min_decryption_version)'),
    ])
    // What was found stays the same here: only who has the key is another one.
    expect(verdictOf(tally, { ...key, provider: 'keyring' }).reasons.at(-1)).toContain(
      'NOBODY CAN READ until it does again (sealctl kms keyring restore)',
    )
  })

  it('goes by what other etcds hold, too', () => {
    const key = keyOf(2)
    const [first, second] = key.versions.map(({ keyId }) => keyId)
    const events = tallyOf({ '/registry/events/a/5': PLAIN }, key)
    expect(verdictOf(events, key, { elsewhere: [second ?? ''] }).reasons).toEqual([])
    expect(verdictOf(events, key, { elsewhere: [second ?? '', first ?? ''] }).reasons).toEqual([
      'the other etcds hold data by 1 other key id(s) than those of versions that stay',
    ])
  })
})

const endpoint = 'unix:///run/sealwright/kms/kms.sock'
const KMS = `{kms: {apiVersion: v2, name: sealwright, endpoint: '${endpoint}'}}`
const IDENTITY = '{identity: {}}'

interface EntryText {
  readonly resources: string
  readonly providers?: string
}

/** A configuration that has these entries. */
function encryptionOf(entries: readonly EntryText[]): EncryptionToCheck {
  const list = entries.map(
    ({ resources, providers = `${KMS}, ${IDENTITY}` }) => `  - {resources: [${resources}], providers: [${providers}]}`,
  )
  const head = 'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n'
  return { path: 'f', rules: parseEncryptionFile(`${head}${list.join('\n')}\n`, 'f').rules, endpoint }
}

describe('the verdict on an EncryptionConfiguration', () => {
  /** What is said of these objects, where the configuration has these entries. */
  function reasonsFor(entries: readonly EntryText[], objects: Readonly<Record<string, Uint8Array>>): readonly string[] {
    const encryption = encryptionOf(entries)
    const { reasons, warnings } = verdictOf(tallyOf(objects), keyOf(2), { version: 0, encryption })
    // What is a reason is no warning beside.
    expect(warnings.filter(text => text.includes('clear'))).toEqual([])
    return reasons
  }

  const NEW = storedBy({ version: 2 })
  const THING = bytes('{"apiVersion":"example.org/v1","kind":"Thing"}')
  const SECRET = { '/registry/secrets/a/1': NEW }

  it('is yes when all that it has the plugin encrypt is encrypted, by whichever version', () => {
    const objects = { ...SECRET, '/registry/secrets/a/2': storedBy({ version: 1 }), '/registry/pods/a/1': PLAIN }
    expect(reasonsFor([{ resources: 'secrets' }], objects)).toEqual([])
  })

  it('is no for a single object in clear', () => {
    expect(reasonsFor([{ resources: 'secrets' }], { ...SECRET, '/registry/secrets/a/2': PLAIN })).toEqual([
      '1 object is stored in clear, which f has this plugin encrypt: secrets',
    ])
    // Whatever it is: what begins it may be damaged.
    expect(reasonsFor([{ resources: 'secrets' }], { ...SECRET, '/registry/secrets/a/2': bytes('?8s:enc:') })).toEqual([
      expect.stringContaining('stored in clear'),
    ])
  })

  it('is no for what this key encrypted under another provider’s name: kube-apiserver reads it by that one alone', () => {
    const renamed = KMS.replace('name: sealwright', 'name: sealwright-2')
    expect(
      reasonsFor([{ resources: 'secrets', providers: `${renamed}, ${KMS.replace('kms.sock', 'old.sock')}` }], SECRET),
    ).toEqual([
      '1 object is encrypted by this key under another provider’s name than sealwright-2, by which f has it: secrets: no other provider than that one reads it',
    ])
  })

  it('and looks at the providers of that resource alone', () => {
    const renamed = KMS.replace('name: sealwright', 'name: sealwright-2')
    const entries = [
      { resources: 'secrets', providers: renamed },
      { resources: 'configmaps', providers: KMS },
    ]
    expect(reasonsFor(entries, SECRET)).toEqual([expect.stringContaining('provider’s name than sealwright-2')])
  })

  it('is no for an etcd with nothing of it, whatever the records of others say: they do not say what is in clear', () => {
    const elsewhere = [keyOf(2).active.keyId]
    const encryption = encryptionOf([{ resources: 'secrets', providers: KMS }])
    const events = tallyOf({ '/registry/events/a/1': PLAIN })
    const reasons = [expect.stringContaining('nothing at all is encrypted by this key')]
    expect(verdictOf(events, keyOf(2), { version: 1, elsewhere, encryption }).reasons).toEqual(reasons)
    expect(verdictOf(events, keyOf(2), { version: 1, elsewhere }).reasons).toEqual([])
    expect(verdictOf(tallyOf({}), keyOf(2), { version: 1, elsewhere }).reasons).toEqual(reasons)
    const both = verdictOf(tallyOf(SECRET), keyOf(2), { version: 1, elsewhere, encryption })
    expect(both.reasons).toEqual([])
    expect(both.cautions).toContainEqual(expect.stringContaining('do not say what is in clear in the other etcds'))
  })

  it('names the resources of which nothing is encrypted yet', () => {
    const objects = { ...SECRET, '/registry/configmaps/a/1': PLAIN, '/registry/secrets/a/2': PLAIN }
    expect(reasonsFor([{ resources: 'secrets, configmaps' }], objects)).toEqual([
      '2 objects are stored in clear, which f has this plugin encrypt: configmaps, secrets; not one is encrypted yet of: configmaps',
    ])
  })

  it.each<[string, string, Readonly<Record<string, Uint8Array>>]>([
    ["'*.*'", 'pods', { '/registry/pods/a/1': PLAIN }],
    ["'*.'", 'pods', { '/registry/pods/a/1': PLAIN }],
    ["secrets, '*.apps'", 'deployments', { '/registry/deployments/a/1': plainOf('apps/v1') }],
    ["secrets, '*.example.org'", 'things.example.org', { '/registry/example.org/things/a/1': THING }],
    ['secrets, ingresses.networking.k8s.io', 'ingresses', { '/registry/ingress/a': plainOf('networking.k8s.io/v1') }],
    ['secrets, endpoints', 'endpoints', { '/registry/services/endpoints/a/b': PLAIN }],
    ["'*.*'", 'things.example.org', { '/registry/example.org/things/a/1': THING }],
  ])('knows what %s has in it: %s', (resources, named, object) => {
    expect(reasonsFor([{ resources }], { ...SECRET, ...object })).toEqual([
      `1 object is stored in clear, which f has this plugin encrypt: ${named}; not one is encrypted yet of: ${named}`,
    ])
  })

  it.each<[string, Readonly<Record<string, Uint8Array>>]>([
    ["secrets, '*.apps'", { '/registry/pods/a/1': PLAIN, '/registry/jobs/a/1': plainOf('batch/v1') }],
    ["'*.'", { '/registry/deployments/a/1': plainOf('apps/v1'), '/registry/example.org/things/a': bytes('{}') }],
    // What API servers keep for themselves, and what is not theirs.
    [
      "'*.*'",
      { '/registry/masterleases/10.0.0.1': PLAIN, '/registry/ranges/serviceips': PLAIN, compact_rev_key: PLAIN },
    ],
    ["'*.*'", { '/coreos.com/network/config': bytes('{"Network":"10.0.0.0/8"}') }],
  ])('knows what %s has not in it', (resources, objects) => {
    expect(reasonsFor([{ resources }], { ...SECRET, ...objects })).toEqual([])
  })

  it('goes by the entry that kube-apiserver takes', () => {
    const entries = [{ resources: 'events', providers: IDENTITY }, { resources: "'*.*'" }]
    expect(reasonsFor(entries, { ...SECRET, '/registry/events/a/1': PLAIN })).toEqual([])
    expect(reasonsFor(entries, { ...SECRET, '/registry/configmaps/a/1': PLAIN })).toHaveLength(1)
  })

  it('is no while anything is encrypted by another provider', () => {
    const objects = {
      ...SECRET,
      '/registry/secrets/a/2': bytes('k8s:enc:aescbc:v1:k1:x'),
      '/registry/secrets/a/3': kmsObject('aws', 'arn:1', bytes('x')),
      '/registry/configmaps/a/1': bytes('k8s:enc:aescbc:v1:k1:x'),
    }
    expect(reasonsFor([{ resources: 'secrets' }], objects)).toEqual([
      '2 objects are encrypted in another way, which f has this plugin encrypt: secrets',
    ])
    // Its group is not known: it may be of this one.
    const jobs = { ...SECRET, '/registry/jobs/a/1': bytes('k8s:enc:aescbc:v1:k1:x') }
    expect(reasonsFor([{ resources: "secrets, '*.batch'" }], jobs)).toHaveLength(1)
  })

  it('is no for a file that is not what the API servers go by', () => {
    expect(reasonsFor([{ resources: 'secrets', providers: IDENTITY }], SECRET)).toEqual([
      `f: no provider has the endpoint ${endpoint}: is it the right file?`,
    ])
    expect(reasonsFor([{ resources: 'configmaps' }], SECRET)).toEqual([
      '1 object is encrypted by this key, though f does not have the plugin for it: secrets: is it the right file?',
    ])
    expect(reasonsFor([{ resources: 'secrets', providers: `${IDENTITY}, ${KMS}` }], SECRET)).toEqual([
      'f: the plugin is not the first provider for secrets: it encrypts nothing new of that',
    ])
  })
})

describe('the verdict on taking the plugin away', () => {
  const reasonsOf = (objects: Readonly<Record<string, Uint8Array>>, prefix = ''): readonly string[] =>
    judgeLeaving(tallyOf(objects), { prefix }).reasons
  const at = '/registry/secrets/default/a'

  it('is yes where nothing needs it, whatever others encrypt', () => {
    expect(reasonsOf({ [at]: PLAIN })).toEqual([])
    expect(reasonsOf({ [at]: kmsObject('aws', 'arn:1', bytes('x')) })).toEqual([])
    expect(reasonsOf({ [at]: bytes('k8s:enc:aescbc:v1:k1:x') })).toEqual([])
    expect(judgeLeaving(tallyOf({ [at]: PLAIN }), { prefix: '' }).cautions).toEqual([
      expect.stringContaining('etcds that are not named here'),
      expect.stringContaining('name the file of kube-apiserver with --encryption-config'),
    ])
  })

  it.each([
    ['what it encrypts by', storedBy({ version: 2 }), 'encrypted by this plugin'],
    ['what it encrypted by before', storedBy({ version: 1, name: 'former' }), 'encrypted by this plugin'],
    ['what another key of ours has', storedBy({ version: 2, lineage: 40 }), 'by Sealwright, and not by a version'],
    ['what is damaged', storedBy({ version: 2 }).subarray(0, 60), 'damaged, so that nobody knows'],
    ['what nobody knows', bytes('k8s:enc:new:v1:k1:x'), 'in a way that is not known'],
  ])('is no for %s', (_what, value, reason) => {
    expect(reasonsOf({ [at]: value, '/registry/pods/a/b': PLAIN })).toEqual([expect.stringContaining(reason)])
  })

  it('is no where nothing, or not everything, was looked at', () => {
    expect(reasonsOf({})).toEqual([expect.stringContaining('is it the right etcd')])
    expect(reasonsOf({ [at]: PLAIN }, '/registry/secrets')).toEqual([expect.stringContaining('nobody has seen')])
  })

  it('is yes beside a configuration that has the plugin decrypt alone', () => {
    const encryption = encryptionOf([{ resources: 'secrets', providers: `${IDENTITY}, ${KMS}` }])
    const { reasons, cautions } = judgeLeaving(tallyOf({ [at]: PLAIN }), { prefix: '', encryption })
    expect(reasons).toEqual([])
    expect(cautions[1]).toMatch(/^other API servers were not asked: EVERY one must have gone by f, as it is here/)
  })

  it.each<[string, readonly EntryText[], string, string]>([
    [
      'it still encrypts what is new',
      [{ resources: 'secrets' }],
      at,
      'f: the plugin still encrypts what is new of secrets: --leave decrypt comes before this',
    ],
    [
      'nothing of what it is there for was found',
      [{ resources: 'secrets, configmaps', providers: `${IDENTITY}, ${KMS}` }],
      '/registry/events/default/a',
      'nothing was found of secrets, configmaps, for which f has the plugin: is it the right etcd?',
    ],
    [
      'it is not in the file',
      [{ resources: 'secrets', providers: IDENTITY }],
      at,
      `f: no provider has the endpoint ${endpoint}: is it the right file?`,
    ],
  ])('is no where, by the configuration, %s', (_what, entries, path, reason) => {
    const options = { prefix: '', encryption: encryptionOf(entries) }
    expect(judgeLeaving(tallyOf({ [path]: PLAIN }), options).reasons).toEqual([reason])
  })
})
