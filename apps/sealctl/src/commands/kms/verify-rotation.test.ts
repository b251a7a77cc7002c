import { spawnSync } from 'node:child_process'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseRotationVerification } from '@sealwright/kms-backends'
import { startTransitOpenBao, type TransitOpenBao } from '@sealwright/testing-kms'
import { type Etcd, startEtcd } from '@sealwright/testing-kubernetes'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type Outcome, runHere } from '../../testing/run-here.ts'
import { readKeyFacts } from './key-facts.ts'
import { loadKmsConfig } from './load-config.ts'
import { startStatusPlugin } from './testing/plugin-server.ts'
import { kmsObject, storedBy } from './testing/stored.ts'

const { signal } = new AbortController()
const PLAIN = Buffer.from('k8s\0 a Secret in clear: hunter2')

let folder: TemporaryFolder
let bao: TransitOpenBao
let etcd: Etcd
let configPath: string
/** Of the plugin of this node. */
let socketPath: string

beforeAll(async () => {
  folder = await temporaryFolder()
  bao = await startTransitOpenBao({ directory: folder.join('bao') })
  etcd = await startEtcd({ directory: folder.join('etcd') })
  configPath = folder.join('kms.yaml')
  socketPath = folder.join('kms.sock')
  const config = {
    ...{ clusterId: 'lab', backend: bao.backend(), socket: { path: socketPath }, stateDirectory: folder.join('state') },
    ...{ rotation: { activationDelayMs: 0, stableObservations: 1 }, probe: { intervalMs: 1_000 } },
  }
  await writeFile(configPath, JSON.stringify(config), { mode: 0o600 })
})

afterAll(async () => {
  await etcd.stop()
  await bao[Symbol.asyncDispose]()
  await folder.remove()
})

beforeEach(async () => {
  await etcd.etcdctl(['del', '', '--from-key=true'])
})

/** When every API server has changed over, if it is asked about now. */
const later = (): Date => new Date(Date.now() + 600_000)

async function verify(args: readonly string[] = [], now = later()): Promise<Outcome> {
  const common = ['kms', 'verify-rotation', '--config', configPath, '--etcd', etcd.endpoint]
  return await runHere([...common, ...args], { now })
}

/** Objects by the real key, which OpenBao describes. */
async function byVersion(version: number): Promise<Uint8Array> {
  const { versions } = await readKeyFacts(await loadKmsConfig(configPath), { nowMs: Date.now(), signal })
  const lineage = versions.find(each => each.version === version)?.lineage
  if (lineage === undefined) throw new Error(`there is no version ${version}`)
  return storedBy({ version, lineage })
}

describe('sealctl kms verify-rotation', () => {
  it('goes with an operator from a rotation to a record by which the old version may be retired', async () => {
    const old = await byVersion(1)
    for (const name of ['a', 'b', 'c']) await etcd.put(`/registry/secrets/default/${name}`, old)
    await etcd.put('compact_rev_key', Buffer.from('1'))
    expect(await verify()).toMatchObject({
      ...{ exitCode: 0, stdout: expect.stringContaining('verdict: there is no older version to retire') as string },
    })
    expect((await verify(['--retire', '2'])).stderr).toContain('KMS_COMMAND_VERSION_UNKNOWN: there is no version 2')

    await bao.rotate()
    const output = folder.join('record.json')
    const soon = await verify(['--output', output], new Date())
    expect(soon).toMatchObject({ exitCode: 2, stderr: '' })
    expect(soon.stdout).toContain('an API server may write by an older version until')

    const tooEarly = await verify(['--output', output, '--verbose', '--retire', '1'])
    expect(tooEarly).toMatchObject({ exitCode: 2, stderr: '' })
    expect(tooEarly.stdout).toMatch(/secrets +sealwright \(KMS v2\) +1 +sealwright\.v1\.[\w-]{43} +3\n/)
    expect(tooEarly.stdout).toContain('  /registry/secrets/default/a\n')
    expect(tooEarly.stdout).toContain('no: 3 objects are encrypted by version 1 or an older one: secrets\n')
    expect(tooEarly.stdout).toContain('verdict: VERSION 1 MUST STAY\n')
    await expect(stat(output)).rejects.toMatchObject({ code: 'ENOENT' })

    const rewritten = await byVersion(2)
    for (const name of ['a', 'b', 'c']) await etcd.put(`/registry/secrets/default/${name}`, rewritten)
    const now = later()
    const done = await verify(['--output', output, '--retire', '1'], now)
    expect(done).toMatchObject({ exitCode: 0, stderr: '' })
    expect(done.stdout).toContain(
      'nothing that this etcd holds now needs version 1 or an older one\nCAUTION: snapshots of etcd',
    )
    const { keyIds, ...record } = parseRotationVerification(await readFile(output, 'utf8'))
    expect(record).toEqual({
      ...{ clusterId: 'lab', verifiedAtMs: now.getTime() },
      etcds: [{ clusterId: expect.stringMatching(/^[0-9a-f]{1,16}$/) as unknown, endpoints: [etcd.endpoint] }],
    })
    expect(done.stdout).toContain('\nCAUTION: etcds that are not named here were not looked at')
    expect(done.stdout).toContain(
      '\nCAUTION: no plugin answers here, and those of other nodes were not asked. On EVERY control-plane node',
    )
    expect(keyIds).toEqual([expect.stringMatching(/^sealwright\.v1\./)])
    expect((await stat(output)).mode & 0o777).toBe(0o600)
    // It is never written over.
    expect((await verify(['--output', output])).stderr).toContain('SEALCTL_OUTPUT_UNUSABLE')
  })

  it('tells programs the same, and shows no data', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    await etcd.put('/registry/secrets/default/b', PLAIN)
    await etcd.put('/registry/secrets/default/c', kmsObject('other', 'key-7', Buffer.from('x')))
    const { exitCode, stdout } = await verify(['--json', '--verbose'])
    expect(exitCode).toBe(0)
    expect(stdout).not.toContain('hunter2')
    expect(JSON.parse(stdout)).toMatchObject({
      etcds: [{ endpoints: [etcd.endpoint] }],
      ...{ clusterId: 'lab', objects: 3, activeVersion: 2, version: 1, mayRetire: true, reasons: [] },
      warnings: ['1 object is stored in clear: secrets', '1 object is encrypted in another way: secrets'],
      groups: [
        { resource: 'secrets', kind: 'ours', version: 2, objects: 1, examples: ['/registry/secrets/default/a'] },
        { resource: 'secrets', kind: 'plaintext', objects: 1 },
        { resource: 'secrets', kind: 'other-kms', provider: 'other', keyId: 'key-7', objects: 1 },
      ],
    })
  })

  it('cries out when data needs a version that OpenBao does not decrypt by any more', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(1))
    await etcd.put('/registry/secrets/default/b', await byVersion(2))
    await bao.configure({ min_decryption_version: 2 })
    const { exitCode, stdout } = await verify()
    await bao.configure({ min_decryption_version: 1 })
    expect(exitCode).toBe(2)
    expect(stdout).toContain('which NOBODY CAN READ until it does again (lower min_decryption_version): secrets')
  })

  it('is not taken in by the wrong cluster id', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    const wrong = folder.join('wrong.yaml')
    await writeFile(wrong, (await readFile(configPath, 'utf8')).replace('"lab"', '"bal"'), { mode: 0o600 })
    const { exitCode, stdout } = await verify(['--config', wrong])
    expect(exitCode).toBe(2)
    expect(stdout).toContain('check clusterId and the key in the configuration before anything else')
  })

  it('looks at a part if it is told so, and writes no record of that', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    await etcd.put('/registry/configmaps/default/a', await byVersion(1))
    const part = await verify(['--prefix', '/registry/secrets/'])
    expect(part).toMatchObject({ exitCode: 2 })
    expect(part.stdout).toContain('no: only keys that begin with /registry/secrets/ were looked at')
    expect(await verify(['--prefix', '/registry/secrets/', '--output', folder.join('no')])).toMatchObject({
      ...{ exitCode: 1, stderr: expect.stringContaining('a record is of everything') as string },
    })
  })

  it('hears from the plugin of this node that it goes on with an older version', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    const { versions } = await readKeyFacts(await loadKmsConfig(configPath), { nowMs: Date.now(), signal })
    expect(await verify()).toMatchObject({ exitCode: 0 })
    await using plugin = await startStatusPlugin(socketPath, { keyId: versions[0].keyId })
    expect(plugin).toBeDefined()
    const { exitCode, stdout } = await verify()
    expect(exitCode).toBe(2)
    expect(stdout).toContain('no: the plugin of this node still encrypts by version 1, and not by 2')
  })

  it('is told that nobody knows by what the plugin of this node encrypts', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    const [path, stateDirectory] = [folder.join('another.yaml'), folder.join('another-state')]
    const config = JSON.parse(await readFile(configPath, 'utf8')) as object
    await writeFile(path, JSON.stringify({ ...config, stateDirectory }), { mode: 0o600 })
    const args = ['--config', path]
    for (const answer of [{ grpcStatus: 14 }, 'nothing'] as const) {
      await using plugin = await startStatusPlugin(socketPath, answer)
      expect(plugin).toBeDefined()
      const { exitCode, stdout } = await verify([...args, '--retire', '1'])
      expect(exitCode).toBe(2)
      expect(stdout).toMatch(/no: a plugin of this node does not say by what it encrypts \(.*Status.*\), nor does /)
    }
    {
      await using plugin = await startStatusPlugin(socketPath, { keyId: 'sealwright.v1.of-another-key' })
      expect(plugin).toBeDefined()
      for (const question of [[], ['--retire', '1']]) {
        const { exitCode, stdout } = await verify([...args, ...question])
        expect(exitCode).toBe(2)
        expect(stdout).toContain(
          'no: the plugin of this node encrypts by sealwright.v1.of-another-key, which is no version that this key has',
        )
      }
    }
    await mkdir(stateDirectory, { mode: 0o700 })
    await writeFile(join(stateDirectory, 'kms-state.json'), 'damaged', { mode: 0o600 })
    const { exitCode, stdout } = await verify(args)
    expect(exitCode).toBe(2)
    expect(stdout).toContain('no: the plugin of this node does not answer, and')
  })

  it('records what is by this plugin alone: another one has nothing to do with it', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    await etcd.put('/registry/configmaps/default/a', kmsObject('other', 'key-7', Buffer.from('x')))
    const output = folder.join('beside-another.json')
    expect(await verify(['--output', output])).toMatchObject({ exitCode: 0 })
    expect(parseRotationVerification(await readFile(output, 'utf8')).keyIds).toEqual([
      expect.stringMatching(/^sealwright\.v1\./),
    ])
  })

  it('brings the looks at two etcds together', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    const [first, both] = [folder.join('first.json'), folder.join('both.json')]
    const earlier = later()
    expect(await verify(['--output', first], earlier)).toMatchObject({ exitCode: 0 })
    expect((await verify(['--with', first])).stderr).toMatch(/SEALCTL_USAGE: etcd [0-9a-f]+ has been looked at twice/)
    const events = await startEtcd({ directory: folder.join('events') })
    try {
      const at = ['kms', 'verify-rotation', '--config', configPath, '--etcd', events.endpoint]
      const now = new Date(earlier.getTime() + 60_000)
      await events.put('/registry/events/default/a', PLAIN)
      // By itself there is nothing in it: it might be the wrong one.
      expect(await runHere(at, { now })).toMatchObject({ exitCode: 2 })
      const done = await runHere([...at, '--with', first, '--output', both], { now })
      expect(done).toMatchObject({ exitCode: 0, stderr: '' })
      const record = parseRotationVerification(await readFile(both, 'utf8'))
      expect(record).toMatchObject({ verifiedAtMs: earlier.getTime(), keyIds: [expect.anything()] })
      expect(record.etcds.flatMap(({ endpoints }) => endpoints).sort()).toEqual([etcd.endpoint, events.endpoint].sort())
      expect(done.stdout).toMatch(
        new RegExp(`etcd +[0-9a-f]+ at ${events.endpoint}, revision .*\nby record +[0-9a-f]+ at ${etcd.endpoint}\n`),
      )

      await events.put('/registry/events/default/a', await byVersion(1))
      expect(await runHere([...at, '--with', first], { now })).toMatchObject({ exitCode: 2 })
    } finally {
      await events.stop()
    }
    const other = folder.join('other-cluster.json')
    await writeFile(other, (await readFile(first, 'utf8')).replace('"lab"', '"bal"'))
    expect((await verify(['--with', other])).stderr).toContain('is of the cluster bal, and this one is lab')
    expect((await verify(['--with', configPath])).stderr).toContain('KMS_KEYRING_NOT_VERIFIED')
  })

  it('says whether identity may go from an EncryptionConfiguration', async () => {
    const path = folder.join('encryption.yaml')
    const written = await runHere([
      ...['kms', 'encryption-config', '--config', configPath],
      ...['--resource', 'configmaps', '--output', path],
    ])
    expect(written).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('at once by this file') as string })
    await etcd.put('/registry/secrets/default/a', await byVersion(1))
    await etcd.put('/registry/configmaps/default/a', PLAIN)
    // Nothing was said of it before: an old version is all that is asked about.
    await etcd.put('/registry/secrets/default/b', await byVersion(2))
    const args = ['--encryption-config', path]
    const no = await verify(args)
    expect(no).toMatchObject({ exitCode: 2, stderr: '' })
    expect(no.stdout).toContain(
      `no: 1 object is stored in clear, which ${path} has this plugin encrypt: configmaps; not one is encrypted yet of: configmaps\nverdict: not sound\n`,
    )
    await etcd.put('/registry/configmaps/default/a', await byVersion(2))
    const yes = await verify(args)
    expect(yes).toMatchObject({ exitCode: 0, stderr: '' })
    expect(yes.stdout).toContain(
      `verdict: all that ${path} has this plugin encrypt is encrypted by it here: identity may go\n`,
    )
    // With a version both are asked.
    expect(await verify([...args, '--retire', '1'])).toMatchObject({ exitCode: 2 })
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    const both = await verify([...args, '--retire', '1'])
    expect(both).toMatchObject({ exitCode: 0 })
    expect(both.stdout).toContain('needs version 1 or an older one\n')
    expect(both.stdout).toContain('identity may go\n')
    expect((await verify([...args, '--output', folder.join('no')])).stderr).toContain('name it with --retire')
  })

  it('says whether the plugin may be taken away', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    await etcd.put('/registry/secrets/default/b', PLAIN)
    const no = await verify(['--leaving'])
    expect(no).toMatchObject({ exitCode: 2, stderr: '' })
    expect(no.stdout).toContain(
      'no: 1 object is encrypted by this plugin: secrets: write it anew first\nverdict: THE PLUGIN MUST STAY\n',
    )
    await etcd.put('/registry/secrets/default/a', PLAIN)
    const yes = await verify(['--leaving'])
    expect(yes).toMatchObject({ exitCode: 0, stderr: '' })
    expect(yes.stdout).toContain(
      'verdict: nothing that this etcd holds now needs this plugin\nCAUTION: backups of etcd',
    )
    const { stdout } = await verify(['--leaving', '--json'])
    expect(JSON.parse(stdout)).toMatchObject({ mayLeave: true, reasons: [], objects: 2 })
    expect((await verify(['--leaving', '--retire', '1'])).stderr).toMatch(/SEALCTL_USAGE: --leaving asks another/)

    const path = folder.join('encryption.yaml')
    await runHere(['kms', 'encryption-config', '--config', configPath, '--output', path])
    const early = await verify(['--leaving', '--encryption-config', path])
    expect(early).toMatchObject({ exitCode: 2, stderr: '' })
    expect(early.stdout).toContain(`no: ${path}: the plugin still encrypts what is new of secrets, configmaps: --leave`)
  })

  it('shows on a terminal how far it is', async () => {
    await etcd.put('/registry/secrets/default/a', await byVersion(2))
    const args = ['kms', 'verify-rotation', '--config', configPath, '--etcd', etcd.endpoint]
    expect((await runHere(args, { now: later(), isTerminal: true })).stderr).toBe('\r1 of 1 objects\r\n')
  })

  it.each<[string, readonly string[], RegExp]>([
    ['no etcd', ['--etcd', 'http://127.0.0.1:1'], /ETCD_UNREACHABLE/],
    ['an address that shows everything to the network', ['--etcd', 'http://10.0.0.1:2379'], /ETCD_OPTIONS_INVALID/],
    ['half a certificate', ['--cert', '/c'], /--cert and --key belong together/],
    ['certificates for plain http', ['--cacert', '/c'], /https addresses only/],
    [
      'a CA that is not there',
      ['--etcd', 'https://127.0.0.1:1', '--cacert', '/nowhere/ca'],
      /cannot read \/nowhere\/ca/,
    ],
    ['a version that is no number', ['--retire', '0'], /must be the number of a version/],
  ])('says what is wrong with %s', async (_what, args, message) => {
    const named = args.includes('--etcd') ? [] : ['--etcd', etcd.endpoint]
    const { exitCode, stderr, stdout } = await runHere([
      'kms',
      'verify-rotation',
      '--config',
      configPath,
      ...named,
      ...args,
    ])
    expect({ stdout, isWrong: exitCode > 0 }).toEqual({ stdout: '', isWrong: true })
    expect(stderr).toMatch(message)
  })

  it('says that OpenBao is not there, before it looks at etcd', async () => {
    const path = folder.join('away.yaml')
    const backend = bao.backend({ addresses: ['http://127.0.0.1:1'] })
    await writeFile(path, JSON.stringify({ clusterId: 'lab', backend }), { mode: 0o600 })
    const { exitCode, stderr } = await runHere([
      'kms',
      'verify-rotation',
      '--config',
      path,
      '--etcd',
      'http://127.0.0.1:1',
    ])
    expect(stderr).toMatch(/^sealctl: KMS_BACKEND_UNAVAILABLE: /)
    expect(exitCode).toBe(6)
  })
})

describe('memory', () => {
  it('does not grow with etcd: 100,000 objects of 2 kB are counted in a heap of 80 MB', () => {
    const program = `
      import { createServer } from 'node:http'
      import { openEtcd } from '@sealwright/etcd'
      import { openTally } from ${JSON.stringify(join(__dirname, 'scan/tally.ts'))}
      import { keyOf, storedBy } from ${JSON.stringify(join(__dirname, 'testing/stored.ts'))}
      const TOTAL = 100_000
      const value = storedBy({ version: 1, dataBytes: 2_000 }).toString('base64')
      const keyAt = index => Buffer.from('/registry/secrets/default/' + String(index).padStart(6, '0')).toString('base64')
      const server = createServer(async (request, response) => {
        let body = ''
        for await (const part of request) body += part
        const { key, limit } = JSON.parse(body)
        const from = Number(/(\\d{6})\\0$/.exec(Buffer.from(key, 'base64').toString())?.[1] ?? -1) + 1
        const count = Math.min(Number(limit), TOTAL - from)
        const kvs = Array.from({ length: count }, (_, index) => ({ key: keyAt(from + index), value }))
        const more = from + count < TOTAL
        response.end(JSON.stringify({ header: { cluster_id: '1', revision: '1' }, kvs, more, count: String(TOTAL - from) }))
      })
      server.listen(0, '127.0.0.1', async () => {
        const keeper = openTally(keyOf(2), { examples: 0 })
        const etcd = openEtcd({ endpoints: ['http://127.0.0.1:' + server.address().port] })
        for await (const { entries } of etcd.scan(Buffer.from(''), { signal: new AbortController().signal })) {
          for (const entry of entries) keeper.add(entry)
        }
        await etcd[Symbol.asyncDispose]()
        server.close()
        console.log(JSON.stringify({ objects: keeper.tally().objects, groups: keeper.tally().groups.length }))
      })`
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ['--max-old-space-size=80', '--input-type=module', '--eval', program],
      { cwd: __dirname, encoding: 'utf8', timeout: 50_000 },
    )
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '{"objects":100000,"groups":1}\n', stderr: '' })
  })
})
