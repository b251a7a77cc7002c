import { readFile, stat, writeFile } from 'node:fs/promises'
import { parseKmsConfig } from '@sealwright/kms-config'
import { temporaryFolder } from '@sealwright/testing-rig'
import { runHere } from '../../../testing/run-here.ts'
import { EXAMPLE_CONFIG } from '../files/example-config.ts'
import { renderEncryptionConfig } from '../files/encryption-config.ts'
import { changeEncryptionFile, type EncryptionChange } from './change.ts'
import { listOf, refused } from '../testing/encryption-file.ts'
import { parseEncryptionFile } from './file.ts'

const ENDPOINT = 'unix:///run/sealwright/kms/kms.sock'
const KEY = 'c2VjcmV0IG9mIHRoZSBvbGQgYWVzY2JjIGtleSAxMjM='

/** What a cluster may have had for years. */
const PRESENT = `# ours since 2021
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - configmaps
    providers:
      - secretbox: {keys: [{name: box, secret: ${KEY}}]} # a long remark, longer than any line that a program breaks by itself would ever be
      - identity: {}
  - resources:
      - secrets # the important ones
      - things.example.org
    providers:
      - aescbc:
          keys:
            - name: key2
              secret: "${KEY}"
            - name: key1
              secret: ${KEY}
      - identity: {}
`
const AESCBC = {
  aescbc: {
    keys: [
      { name: 'key2', secret: KEY },
      { name: 'key1', secret: KEY },
    ],
  },
}
const KMS = { kms: { apiVersion: 'v2', name: 'sealwright', endpoint: ENDPOINT, timeout: '3s' } }
const OTHER = {
  resources: ['configmaps'],
  providers: [{ secretbox: { keys: [{ name: 'box', secret: KEY }] } }, { identity: {} }],
}

function changed(text: string, change: Partial<EncryptionChange> = {}): string {
  const options = { stage: 'first', endpoint: ENDPOINT, name: undefined, resources: [], ...change } as const
  return changeEncryptionFile(parseEncryptionFile(text, 'c'), options, 'c').text
}

describe('a change of the present EncryptionConfiguration', () => {
  it('leads step by step from keys in a file to the plugin, and loses none of them', () => {
    const resources = ['secrets', 'things.example.org']
    const last = changed(PRESENT, { stage: 'last' })
    expect(listOf(last)).toEqual([OTHER, { resources, providers: [AESCBC, { identity: {} }, KMS] }])
    const first = changed(last)
    expect(listOf(first)).toEqual([OTHER, { resources, providers: [KMS, AESCBC, { identity: {} }] }])
    const final = changed(first, { stage: 'final' })
    // aescbc stays, and so does identity of what the plugin does not encrypt.
    expect(listOf(final)).toEqual([OTHER, { resources, providers: [KMS, AESCBC] }])
    for (const text of [last, first, final]) {
      expect(text).toContain('# ours since 2021')
      expect(text).toContain('# the important ones')
    }
  })

  it('goes to the first place at once where there is one API server', () => {
    expect(listOf(changed(PRESENT))).toEqual(listOf(changed(changed(PRESENT, { stage: 'last' }))))
  })

  it('leaves no word of identity with the plugin, wherever that goes', () => {
    const options = { name: 'sealwright', stage: 'last', resources: ['secrets'] } as const
    const first = changed(renderEncryptionConfig(parseKmsConfig(EXAMPLE_CONFIG, 'c'), options))
    expect(first).toMatch(/providers:\n {6}- kms:(?:\n {10}.+)+\n {6}- identity: \{\} # reads/)
    const final = changed(first, { stage: 'final' })
    expect(final).not.toContain('stored in clear')
    expect(final).toMatch(/providers:\n {6}- kms:/)
  })

  it('changes nothing if there is nothing to change', () => {
    const first = changed(PRESENT)
    expect(changed(first)).toBe(first)
  })

  it('keeps the name that the plugin has, and gives a new one as it is told', () => {
    const named = changed(PRESENT, { name: 'prod' })
    expect(named).toContain('name: prod\n')
    expect(listOf(changed(named, { stage: 'final' }))).toMatchObject([
      {},
      { providers: [{ kms: { name: 'prod' } }, {}] },
    ])
    expect(() => changed(named, { name: 'other' })).toThrow(refused(/is called prod there/))
  })

  it('brings one more resource in by an entry that has it first, until the plugin may encrypt it', () => {
    const final = changed(changed(PRESENT), { stage: 'final' })
    const resources = ['secrets', 'things.example.org', 'jobs.batch']
    const inClear = { resources: ['jobs.batch'], providers: [{ identity: {} }] }
    const last = changed(final, { stage: 'last', resources: ['jobs.batch'] })
    // Secrets are not read in clear again meanwhile.
    expect(listOf(last)).toEqual([OTHER, inClear, { resources, providers: [KMS, AESCBC] }])
    expect(changed(last, { stage: 'last', resources: ['jobs.batch'] })).toBe(last)
    // What is encrypted already may be named again.
    expect(changed(final, { stage: 'last', resources: ['secrets', 'jobs.batch'] })).toBe(last)
    const first = changed(last)
    expect(listOf(first)).toEqual([OTHER, { resources, providers: [KMS, AESCBC] }, inClear])
    expect(changed(first)).toBe(first)
    expect(listOf(changed(first, { stage: 'final' }))).toEqual([OTHER, { resources, providers: [KMS, AESCBC] }])
    expect(() => changed(last, { stage: 'final' })).toThrow(refused(/not the first provider for jobs\.batch/))
    expect(() => changed(first, { stage: 'last', resources: ['jobs.batch'] })).toThrow(refused(/--last comes before/))
  })

  it('lets nobody encrypt one more resource at once where the plugin is in the file', () => {
    for (const text of [changed(PRESENT), changed(PRESENT, { stage: 'last' })]) {
      expect(() => changed(text, { resources: ['jobs.batch'] })).toThrow(
        refused(/jobs\.batch is new there.*first --last --resource jobs\.batch/),
      )
    }
    expect(() => changed(changed(PRESENT), { stage: 'last', resources: ['*.batch'] })).toThrow(
      refused(/\*\.batch cannot be added later/),
    )
    expect(() => changed(PRESENT, { resources: ['*.'] })).toThrow(refused(/kube-apiserver refuses it/))
  })

  it('has nothing encrypt a resource that comes with the plugin: neither that nor what was there', () => {
    const inClear = { resources: ['jobs.batch'], providers: [{ identity: {} }] }
    const resources = ['secrets', 'things.example.org', 'jobs.batch']
    const last = changed(PRESENT, { stage: 'last', resources: ['secrets', 'jobs.batch'] })
    expect(listOf(last)).toEqual([OTHER, inClear, { resources, providers: [AESCBC, { identity: {} }, KMS] }])
    const first = changed(last)
    expect(listOf(first)).toEqual([OTHER, { resources, providers: [KMS, AESCBC, { identity: {} }] }, inClear])
    expect(listOf(changed(first, { stage: 'final' }))).toEqual([OTHER, { resources, providers: [KMS, AESCBC] }])
  })

  it('brings a resource of another provider in behind that, and in the end before it', () => {
    const resources = ['secrets', 'things.example.org', 'configmaps']
    const final = changed(changed(PRESENT), { stage: 'final' })
    const behind = { resources: ['configmaps'], providers: [...OTHER.providers] }
    const last = changed(final, { stage: 'last', resources: ['configmaps'] })
    expect(listOf(last)).toEqual([OTHER, { resources, providers: [KMS, AESCBC] }])
    const first = changed(last)
    expect(listOf(first)).toEqual([{ resources, providers: [KMS, AESCBC] }, behind])
    expect(listOf(changed(first, { stage: 'final' }))).toEqual([
      { resources, providers: [KMS, AESCBC] },
      { resources: ['configmaps'], providers: [OTHER.providers[0]] },
    ])
    // Where the other one comes later in the list, the plugin moves.
    const later = changed(
      first.replace('- configmaps\n    providers:\n      - secretbox', '- pods\n    providers:\n      - secretbox'),
      {
        stage: 'last',
        resources: ['pods'],
      },
    )
    expect(listOf(later)).toMatchObject([{ resources: ['pods'] }, { resources: [...resources, 'pods'] }])
  })

  it('is refused where the order of the entries would take another resource from the plugin', () => {
    const first = changed(changed(PRESENT, { stage: 'last', resources: ['configmaps'] }))
    const text = `${first}  - resources: [pods]\n    providers: [{aesgcm: {keys: [{name: g, secret: ${KEY}}]}}]\n`
    expect(() => changed(text, { stage: 'last', resources: ['pods'] })).toThrow(
      refused(/order of its entries.*configmaps would be written by another provider/),
    )
  })

  it('is refused where the order of the entries would give a resource from one other provider to the next, or to none', () => {
    const text = JSON.stringify({
      ...{ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration' },
      resources: [
        { resources: ['secrets'], providers: [AESCBC] },
        { resources: ['secrets', 'configmaps'], providers: [{ identity: {} }] },
      ],
    })
    expect(() => changed(text, { stage: 'last', resources: ['configmaps'] })).toThrow(
      refused(/secrets would be written by another provider than now: nothing/),
    )
    expect(() => changed(text, { stage: 'last', resources: ['configmaps'] })).not.toThrow(new RegExp(KEY))
  })

  it('leaves a plugin of two names to write by the one that it does, and in their order', () => {
    const named = (name: string): object => ({ kms: { apiVersion: 'v2', name, endpoint: ENDPOINT } })
    const fileOf = (...resources: readonly object[]): string =>
      JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration', resources })
    const inTwo = fileOf(
      { resources: ['secrets'], providers: [named('a')] },
      { resources: ['secrets'], providers: [named('b')] },
      { resources: ['pods'], providers: [{ identity: {} }] },
    )
    expect(() => changed(inTwo, { stage: 'last', resources: ['pods'] })).toThrow(
      refused(/secrets would be written by another provider than now/),
    )
    const behind = fileOf({ resources: ['secrets'], providers: [AESCBC, named('a'), named('b')] })
    expect(listOf(changed(behind))).toEqual([{ resources: ['secrets'], providers: [named('a'), named('b'), AESCBC] }])
  })

  it('is not final for a resource whose identity is that of others, too', () => {
    const both = PRESENT.replace('- configmaps', '- configmaps\n      - pods')
    const first = changed(changed(both, { stage: 'last', resources: ['configmaps'] }))
    expect(() => changed(first, { stage: 'final' })).toThrow(refused(/identity stands there for pods/))
  })

  it('is refused for a resource that another provider has by a wildcard', () => {
    const wild = PRESENT.replace('- configmaps', "- '*.batch'")
    expect(() => changed(wild, { stage: 'last', resources: ['jobs.batch'] })).toThrow(refused(/by a wildcard/))
  })

  it('makes an entry for Secrets where there is none', () => {
    const without = PRESENT.slice(0, PRESENT.indexOf('  - resources:\n      - secrets'))
    const providers = [KMS, { identity: {} }]
    expect(listOf(changed(without))).toEqual([OTHER, { resources: ['secrets'], providers }])
    expect(listOf(changed(without, { resources: ['secrets', 'jobs.batch'] }))).toEqual([
      OTHER,
      { resources: ['secrets', 'jobs.batch'], providers },
    ])
  })

  it('takes a wildcard that has Secrets in it for their entry', () => {
    const wild = PRESENT.replace(/ {6}- secrets .*\n {6}- things.*\n/, "      - '*.*'\n")
    expect(listOf(changed(wild))).toMatchObject([OTHER, { resources: ['*.*'], providers: [KMS, AESCBC, {}] }])
  })

  it.each<[string, string, Partial<EncryptionChange>, RegExp]>([
    ['--final without the plugin', PRESENT, { stage: 'final' }, /in none of its entries/],
    ['--final before the plugin encrypts', changed(PRESENT, { stage: 'last' }), { stage: 'final' }, /not the first/],
    ['--final twice', changed(changed(PRESENT), { stage: 'final' }), { stage: 'final' }, /final already/],
    ['--last once the plugin encrypts', changed(PRESENT), { stage: 'last' }, /--last comes before/],
  ])('is refused: %s', (_what, text, change, message) => {
    expect(() => changed(text, change)).toThrow(refused(message))
  })

  it('is refused for a name that another plugin has', () => {
    expect(() => changed(changed(PRESENT), { endpoint: 'unix:///b' })).toThrow(
      refused(/another plugin is called sealwright/),
    )
    expect(() => changed(changed(PRESENT), { endpoint: 'unix:///b', name: 'sealwright' })).toThrow(
      refused(/another plugin is called sealwright/),
    )
    expect(changed(changed(PRESENT), { endpoint: 'unix:///b', name: 'b' })).toContain('name: b\n')
  })

  it.each(['first', 'last'] as const)('puts no second plugin into a file unless it is given a name: %s', stage => {
    const other = changed(PRESENT, { name: 'vault' })
    expect(() => changed(other, { endpoint: 'unix:///b', stage })).toThrow(
      refused(/vault there, at unix:\/\/\/run\/sealwright\/kms\/kms\.sock: .*--config.*--name/),
    )
  })

  it('counts the entry by which kube-apiserver encrypts, where Secrets stand in two', () => {
    const twice = PRESENT.replace('- configmaps', '- secrets')
    expect(listOf(changed(twice))).toMatchObject([{ providers: [KMS, {}, {}] }, { providers: [{}, {}] }])
    const inSecond = twice.replace(
      '- aescbc',
      `- kms: {apiVersion: v2, name: x, endpoint: '${ENDPOINT}'}\n      - aescbc`,
    )
    // Where both have it, all of its providers count: the plugin’s have to come first.
    expect(listOf(changed(inSecond))).toMatchObject([
      { resources: ['secrets', 'things.example.org'], providers: [{ kms: { name: 'x' } }, AESCBC, {}] },
      { resources: ['secrets'], providers: [{ secretbox: {} }, {}] },
    ])
  })
})

describe('an EncryptionConfiguration', () => {
  it.each<[string, string, RegExp]>([
    ['no YAML', `a: [${KEY}`, /no YAML/],
    ['two documents', `${PRESENT}---\n${PRESENT}`, /no YAML, or more than one/],
    ['the same field twice', PRESENT.replace('kind:', 'apiVersion: x\nkind:'), /no YAML/],
    ['aliases', PRESENT.replace('- configmaps', '- &a configmaps\n      - *a'), /aliases/],
    ['of another kind', PRESENT.replace('EncryptionConfiguration', KEY), /^c: kind is not as it should be/],
    ['of another API', PRESENT.replace('apiserver.config.k8s.io/v1', 'v1'), /^c: apiVersion/],
    ['an unknown provider', PRESENT.replace('aescbc', 'rot13'), /^c: resources\.1\.providers\.0 is/],
    ['two in one', PRESENT.replace('- aescbc', '- identity: {}\n        aescbc'), /^c: resources\.1\.providers\.0 is/],
    ['what kube-apiserver refuses', PRESENT.replace('things.example.org', 'Things'), /refuses it: Things/],
    ['nothing', '', /its form/],
  ])('is refused, and nothing of it is told: %s', (_what, text, message) => {
    expect(() => parseEncryptionFile(text, 'c')).toThrow(refused(message))
    expect(() => parseEncryptionFile(text, 'c')).not.toThrow(new RegExp(KEY))
  })
})

describe('sealctl kms encryption-config', () => {
  it('writes new files alone, and shows no key', async () => {
    await using folder = await temporaryFolder()
    const config = folder.join('kms.yaml')
    await writeFile(config, EXAMPLE_CONFIG, { mode: 0o600 })
    const [present, output] = [folder.join('present'), folder.join('new')]
    await writeFile(present, PRESENT)
    const run = async (...args: readonly string[]) =>
      await runHere(['kms', 'encryption-config', '--config', config, ...args])
    const done = await run('--from', present, '--output', output)
    expect(done.exitCode).toBe(0)
    expect(done.stdout).toContain('secrets, things.example.org: kms sealwright, then aescbc, then identity\n')
    expect(done.stdout).toContain('aescbc for secrets, things.example.org stays: what it has encrypted')
    expect(done.stdout).toContain(`${output} is new, and nobody uses it yet`)
    expect((await stat(output)).mode & 0o777).toBe(0o600)
    expect(listOf(await readFile(output, 'utf8'))).toEqual(listOf(changed(PRESENT)))
    expect(await readFile(present, 'utf8')).toBe(PRESENT)
    const json = await run('--from', output, '--final', '--output', folder.join('final'), '--json')
    expect(JSON.parse(json.stdout)).toMatchObject({
      output: folder.join('final'),
      others: ['aescbc for secrets, things.example.org'],
      entries: [{}, { providers: [{ kind: 'kms', name: 'sealwright' }, { kind: 'aescbc' }] }],
    })
    const more = await run('--from', output, '--last', '--resource', 'pods', '--output', folder.join('more'))
    expect(more.stdout).toContain('secrets, things.example.org, pods: kms sealwright, then aescbc, then identity\n')
    expect(more.stdout).toContain('pods stands in 2 entries, which add up: identity, then kms sealwright, then aescbc')
    const away = await run('--from', output, '--leave', 'decrypt', '--output', folder.join('away'))
    expect(away.stdout).toContain('secrets, things.example.org: aescbc, then identity, then kms sealwright\n')
    for (const { stdout, stderr } of [done, json, more, away]) expect(stdout + stderr).not.toContain(KEY)

    // Neither over what is there, nor to where somebody can see it.
    const over = await run('--from', present, '--output', present)
    expect(over.stderr).toContain('SEALCTL_OUTPUT_UNUSABLE')
    expect(await readFile(present, 'utf8')).toBe(PRESENT)
    expect((await run('--output', present)).stderr).toContain('SEALCTL_OUTPUT_UNUSABLE')
    expect((await run('--from', present)).stderr).toContain('name a new file with --output')
  })

  it('warns, and refuses nothing, where the plugin encrypts by the first file that it is in', async () => {
    await using folder = await temporaryFolder()
    const config = folder.join('kms.yaml')
    await writeFile(config, EXAMPLE_CONFIG, { mode: 0o600 })
    await writeFile(folder.join('present'), PRESENT)
    const run = async (...args: readonly string[]) =>
      await runHere(['kms', 'encryption-config', '--config', config, ...args])
    const words = /^warning: the plugin encrypts at once by this file: every API server must have had it as --last/
    const present = ['--from', folder.join('present')]
    for (const args of [[], ['--output', folder.join('a')], [...present, '--output', folder.join('b')]]) {
      const { exitCode, stderr } = await run(...args)
      expect([exitCode, stderr]).toEqual([0, expect.stringMatching(words)])
    }
    const { stdout, stderr } = await run(...present, '--output', folder.join('c'), '--json')
    expect(stderr).toMatch(words)
    expect(JSON.parse(stdout)).toMatchObject({ warnings: [expect.stringContaining('must have had it as --last')] })
    // Not in the order of the rounds.
    const last = folder.join('last')
    for (const args of [
      [...present, '--last', '--output', last],
      ['--from', last, '--output', folder.join('first')],
      ['--from', folder.join('first'), '--final', '--output', folder.join('final')],
      ['--from', folder.join('first'), '--leave', 'decrypt', '--output', folder.join('decrypt')],
      ['--last', '--output', folder.join('new')],
    ]) {
      expect(await run(...args)).toMatchObject({ exitCode: 0, stderr: '' })
    }
  })

  it.each([
    [['--final'], 'name it with --from'],
    [['--final', '--last'], 'SEALCTL_USAGE'],
    [['--final', '--from', 'a', '--output', 'b', '--resource', 'jobs.batch'], 'first without --final'],
    [['--leave', 'prepare'], '--leave is a change of the present file'],
    [['--leave', 'prepare', '--from', 'a', '--output', 'b', '--resource', 'pods'], 'leave --resource out'],
    [['--leave', 'prepare', '--final', '--from', 'a', '--output', 'b'], 'SEALCTL_USAGE'],
    [['--leave', 'slowly', '--from', 'a', '--output', 'b'], 'SEALCTL_USAGE'],
    [['--from', '/nowhere/a', '--output', 'b'], 'cannot read /nowhere/a (ENOENT)'],
    [['--resource', 'events.events.k8s.io'], 'name events'],
  ])('refuses %j', async (args, message) => {
    await using folder = await temporaryFolder()
    const config = folder.join('kms.yaml')
    await writeFile(config, EXAMPLE_CONFIG, { mode: 0o600 })
    const { exitCode, stdout, stderr } = await runHere(['kms', 'encryption-config', '--config', config, ...args])
    expect([exitCode, stdout]).toEqual([1, ''])
    expect(stderr).toContain(message)
  })
})
