import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseKmsConfig } from '@sealwright/kms-config'
import { repositoryRoot } from '@sealwright/testing-rig'
import { parse } from 'yaml'
import { runHere } from '../../testing/run-here.ts'

const DOCUMENTS = [
  'docs/runbooks/kms.md',
  'docs/runbooks/kms-keyring.md',
  'docs/runbooks/kms-another-key.md',
  'deploy/kms/README.md',
  'apps/kms-plugin/README.md',
] as const

/** What a document tells an operator to call, from the name of the command on: in blocks, and within sentences. */
function callsIn(document: string): readonly string[] {
  const text = readFileSync(join(repositoryRoot(), document), 'utf8')
  const inBlocks = [...text.matchAll(/^ *sealctl (.+)$/gm)].map(([, line = '']) => line)
  const inSentences = [...text.matchAll(/`sealctl ([^`]+)`/g)].map(([, line = '']) => line)
  // Without remarks, and where the output goes.
  return [...inBlocks, ...inSentences].map(line =>
    line
      .replace(/ +#.*$| > .*$| \|.*$| &&.*$/g, '')
      .replaceAll('\n', ' ')
      .trim(),
  )
}

const calls = DOCUMENTS.flatMap(document => callsIn(document).map(call => [document, call] as const))

describe('the runbook', () => {
  it('has been found', () => {
    expect(calls.length).toBeGreaterThan(20)
  })

  it.each(calls)('%s tells of a command and options that exist: sealctl %s', async (_document, call) => {
    const words = call.split(' ').filter(word => word !== '…')
    const firstOption = words.findIndex(word => word.startsWith('-'))
    const names = (firstOption === -1 ? words : words.slice(0, firstOption)).filter(word =>
      /^[a-z]+(-[a-z]+)*$/.test(word),
    )
    const { exitCode, stdout } = await runHere([...names, '--help'])
    expect([call, exitCode]).toEqual([call, 0])
    expect(stdout).toMatch(new RegExp(`^Usage: sealctl ${names.join(' ')}( |$)`, 'm'))
    for (const option of words.filter(word => word.startsWith('--'))) expect(stdout).toContain(`${option} `)
  })

  it.each([
    'docs/runbooks/kms.md',
    'docs/runbooks/kms-keyring.md',
    'docs/runbooks/kms-another-key.md',
    'deploy/kms/README.md',
  ])('%s redirects onto no file that may be in use', document => {
    const text = readFileSync(join(repositoryRoot(), document), 'utf8')
    expect(text.match(/^.*(?:sealctl|bao|kubectl) .*>{1,2} *\/(?!dev\/null).*$/gm)).toBeNull()
  })

  it.each(DOCUMENTS)(
    '%s puts no file in the place of another by a line that is called whatever the line before did',
    document => {
      const text = readFileSync(join(repositoryRoot(), document), 'utf8')
      const blocks = [...text.matchAll(/^( *)```sh\n(.*?)^\1```$/gms)].map(([, , block = '']) => block)
      const moves = blocks.flatMap(block => {
        const lines = block.split('\n').map(line => line.trim().replace(/ +#.*$/, ''))
        return lines.flatMap((line, at) =>
          // Of its own in the block, or behind what has to have gone well. A folder and a manifest that go aside take nobody’s place.
          /^mv .*config\.new|^mv .*\.new /.test(line) && at > 0 && !(lines[at - 1] ?? '').endsWith('&&') ? [line] : [],
        )
      })
      expect(moves).toEqual([])
    },
  )

  it('shows what each change of the EncryptionConfiguration would change', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms.md'), 'utf8')
    const changes = text.match(/^sealctl kms encryption-config .*--from .*$/gm) ?? []
    expect(changes).toHaveLength(9)
    for (const change of changes) expect(change).toMatch(/--output config\.new && diff config\.yaml config\.new$/)
    expect(text.match(/^mv config\.new config\.yaml$/gm)).toHaveLength(changes.length)
  })

  it('brings a credential to a node as a whole or not at all', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms.md'), 'utf8')
    const [block = ''] = [...text.matchAll(/^```sh\n(role=.*?)^```$/gms)].flatMap(([, found = '']) =>
      found.includes('put=') ? [found] : [],
    )
    const folder = mkdtempSync(join(tmpdir(), 'runbook-'))
    try {
      const run = (bao: string): string => {
        const script = `bao() { ${bao}; }\nssh() { sh -c "$2"; }\n${block.replaceAll('/etc/sealwright/kms', folder)}`
        execFileSync('sh', ['-c', script])
        return ['role-id', 'secret-id'].map(name => readFileSync(join(folder, name), 'utf8')).join()
      }
      expect(run('printf %s "$1 $2"')).toBe('read -field=role_id,write -field=secret_id')
      for (const fails of ['return 2', 'true']) expect(run(fails)).toBe('read -field=role_id,write -field=secret_id')
      expect(statSync(join(folder, 'secret-id')).mode & 0o777).toBe(0o600)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('has asked for what is in clear before it takes identity away', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms.md'), 'utf8')
    const asked = text.indexOf('sealctl kms verify-rotation --encryption-config')
    expect(asked).toBeGreaterThan(0)
    expect(asked).toBeLessThan(text.indexOf('encryption-config --final'))
  })

  it('leads one more resource in, and the plugin out, by steps in their order', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms.md'), 'utf8')
    const stepsOf = (title: string, ...steps: readonly string[]): readonly number[] => {
      const section = text.slice(text.indexOf(`\n## ${title}\n`)).split('\n## ')[1] ?? ''
      return steps.map(step => section.indexOf(step))
    }
    const into = stepsOf(
      'Encrypt one more resource',
      ...[
        '--last --resource configmaps',
        'encryption-config --from config',
        'kubectl replace',
        'verify-rotation',
        '--final',
      ],
    )
    const out = stepsOf(
      'Stop using Sealwright',
      ...['--leave prepare', '--leave decrypt', 'kubectl replace', 'verify-rotation', '--leave remove', 'disable'],
    )
    for (const places of [into, out]) {
      expect(places).not.toContain(-1)
      expect(places).toEqual(places.toSorted((one, other) => one - other))
    }
  })

  it('warns of backups before it retires a version', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms.md'), 'utf8')
    expect(text.indexOf('A backup of etcd needs the versions')).toBeLessThan(text.indexOf('min_decryption_version=NEW'))
  })

  it('has retired versions of a keyring come back, and says before that what has to be looked at', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms-keyring.md'), 'utf8')
    const [verified, retired, restored] = [
      'where a newer version has to be the active one:\n\n```sh\nsealctl kms verify-key\n',
      'keyring retire 1',
      'keyring restore',
    ].map(each => text.indexOf(each))
    expect(verified).toBeGreaterThan(0)
    expect(verified).toBeLessThan(retired ?? 0)
    expect(retired).toBeLessThan(restored ?? 0)
  })
})

/** Blocks of YAML in a document, as they are. */
function yamlIn(document: string): readonly string[] {
  const text = readFileSync(join(repositoryRoot(), document), 'utf8')
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block = '']) => block)
}

describe('sealctl kms --help', () => {
  it.each(['doctor', 'verify-key', 'verify-rotation'])(
    'has the exit codes of %s, not those of seals',
    async command => {
      const { stdout } = await runHere(['kms', command, '--help'])
      expect(stdout).toContain('2 something has to be mended')
      expect(stdout).not.toContain('shares are needed')
    },
  )
})

describe('the examples', () => {
  it('of kms.yaml are configurations, one of each backend', () => {
    const configs = yamlIn('apps/kms-plugin/README.md').map(text => parseKmsConfig(text, 'an example'))
    expect(configs.map(({ backend }) => backend.type)).toEqual(['transit', 'keyring'])
  })

  it('of kubeadm’s configuration have the same options in both forms, and the folders that the plugin is told', () => {
    interface ApiServer<Arguments> {
      readonly extraArgs: Arguments
      readonly extraVolumes: readonly { readonly hostPath: string; readonly mountPath: string }[]
    }
    const [list, map] = yamlIn('deploy/kms/README.md').map(text => (parse(text) as { apiServer: unknown }).apiServer)
    const { extraArgs, extraVolumes } = list as ApiServer<readonly { readonly name: string; readonly value: string }[]>
    const options = Object.fromEntries(extraArgs.map(({ name, value }) => [name, value] as const))
    expect(options).toEqual((map as ApiServer<Readonly<Record<string, string>>>).extraArgs)
    const { socket } = parseKmsConfig(
      readFileSync(join(repositoryRoot(), 'deploy/kms/kms.yaml'), 'utf8'),
      'the example',
    )
    const folders = [dirname(options['encryption-provider-config'] ?? ''), dirname(socket.path)]
    expect(extraVolumes.map(({ hostPath }) => hostPath)).toEqual(folders)
    expect(extraVolumes.map(({ mountPath }) => mountPath)).toEqual(folders)
  })
})
