import { readFile, stat, writeFile } from 'node:fs/promises'
import { parseKmsConfig } from '@sealwright/kms-config'
import { temporaryFolder } from '@sealwright/testing-rig'
import { parse } from 'yaml'
import { runHere } from '../../../testing/run-here.ts'
import { EXAMPLE_CONFIG } from '../files/example-config.ts'
import { renderEncryptionConfig } from '../files/encryption-config.ts'
import { changeEncryptionFile, type EncryptionChange } from './change.ts'
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

function listOf(text: string): unknown {
  return (parse(text) as { readonly resources: unknown }).resources
}

const refused = (message: RegExp): Error =>
  expect.objectContaining({
    code: 'KMS_COMMAND_ENCRYPTION_CONFIG',
    message: expect.stringMatching(message) as string,
  }) as Error

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

  it('adds resources that are in clear as yet, with identity to read them', () => {
    const added = changed(PRESENT, { resources: ['secrets', 'jobs.batch'] })
    expect(listOf(added)).toMatchObject([OTHER, { resources: ['secrets', 'things.example.org', 'jobs.batch'] }])
    const final = changed(changed(PRESENT), { stage: 'final' })
    expect(listOf(changed(final, { resources: ['jobs.batch'] }))).toEqual([
      OTHER,
      {
        resources: ['secrets', 'things.example.org', 'jobs.batch'],
        providers: [KMS, AESCBC, { identity: {} }],
      },
    ])
    expect(() => changed(PRESENT, { resources: ['configmaps'] })).toThrow(refused(/in another entry/))
    expect(() => changed(PRESENT, { resources: ['*.'] })).toThrow(refused(/kube-apiserver refuses it/))
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
    expect(changed(changed(PRESENT), { endpoint: 'unix:///b', name: 'b' })).toContain('name: b\n')
  })

  it('counts the entry by which kube-apiserver encrypts, where Secrets stand in two', () => {
    const twice = PRESENT.replace('- configmaps', '- secrets')
    expect(listOf(changed(twice))).toMatchObject([{ providers: [KMS, {}, {}] }, { providers: [{}, {}] }])
    const inSecond = twice.replace(
      '- aescbc',
      `- kms: {apiVersion: v2, name: x, endpoint: '${ENDPOINT}'}\n      - aescbc`,
    )
    expect(() => changed(inSecond)).toThrow(refused(/stands in an earlier entry too/))
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
    expect(done).toMatchObject({ exitCode: 0, stderr: '' })
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
    for (const { stdout, stderr } of [done, json]) expect(stdout + stderr).not.toContain(KEY)

    // Neither over what is there, nor to where somebody can see it.
    const over = await run('--from', present, '--output', present)
    expect(over.stderr).toContain('SEALCTL_OUTPUT_UNUSABLE')
    expect(await readFile(present, 'utf8')).toBe(PRESENT)
    expect((await run('--output', present)).stderr).toContain('SEALCTL_OUTPUT_UNUSABLE')
    expect((await run('--from', present)).stderr).toContain('name a new file with --output')
  })

  it.each([
    [['--final'], 'name it with --from'],
    [['--final', '--last'], 'SEALCTL_USAGE'],
    [['--final', '--from', 'a', '--output', 'b', '--resource', 'jobs.batch'], 'first without --final'],
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
