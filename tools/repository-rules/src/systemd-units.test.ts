import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readText, repositoryFiles, root } from './repository.ts'

const FOLDER = 'deploy/systemd/'
const AGENT = `${FOLDER}sealwright-agent.service`
const OPENBAO = `${FOLDER}openbao.service.d/sealwright.conf`

const units = repositoryFiles().filter(
  path => path.startsWith(FOLDER) && /\.(service|conf|socket|timer)$/.test(path) && existsSync(join(root, path)),
)

/** systemd.syntax(7): sections, and one directive a line; the same key may come again. */
function parseUnit(
  path: string,
): readonly { readonly section: string; readonly key: string; readonly value: string }[] {
  let section = ''
  return readText(path)
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .flatMap(line => {
      const [, header] = /^\[(\w+)\]$/.exec(line) ?? []
      if (header !== undefined) {
        section = header
        return []
      }
      const [, key, value] = /^([A-Z]\w*)=(\S.*)$/.exec(line) ?? []
      if (key === undefined || value === undefined) throw new Error(`${path}: not KEY=VALUE: ${line}`)
      return [{ section, key, value }]
    })
}

/** The values of one directive, in their order. */
function valuesOf(path: string, key: string): readonly string[] {
  return parseUnit(path)
    .filter(directive => directive.key === key)
    .map(({ value }) => value)
}

/** The default that the code gives a field of the configuration. */
function defaultOf(field: string): string {
  const schema = readText('libs/core/node-config/src/schema.ts')
  const [, path] = new RegExp(`^ +${field}: v\\.optional\\(absolutePath, '([^']+)'\\)`, 'm').exec(schema) ?? []
  if (path === undefined) throw new Error(`the schema has no default for ${field}`)
  return path
}

describe('the systemd units', () => {
  it('are those two', () => {
    expect([...units].sort()).toEqual([OPENBAO, AGENT].sort())
  })

  it.each(units)('%s has only KEY=VALUE lines in known sections, and settings in each place once', path => {
    const directives = parseUnit(path)
    expect(directives.length).toBeGreaterThan(5)
    for (const { section } of directives) expect(['Unit', 'Service', 'Install']).toContain(section)
    const keys = directives.map(({ key }) => key).filter(key => key !== 'DeviceAllow')
    expect(new Set(keys).size).toBe(keys.length)
  })

  it.each(units)('%s keeps keys out of core files and swap, and is started again', path => {
    expect(valuesOf(path, 'LimitCORE')).toEqual(['0'])
    expect(valuesOf(path, 'MemorySwapMax')).toEqual(['0'])
    expect(valuesOf(path, 'NoNewPrivileges')).toEqual(['yes'])
    expect(valuesOf(path, 'StartLimitIntervalSec')).toEqual(['0'])
    expect(valuesOf(path, 'Restart')).toEqual([path === AGENT ? 'always' : 'on-failure'])
  })

  it.each([
    ['ProtectSystem', ['strict']],
    ['ProtectHome', ['yes']],
    ['PrivateTmp', ['yes']],
    ['DevicePolicy', ['closed']],
    ['DeviceAllow', ['/dev/tpmrm0 rw', 'char-tpm rw']],
    ['UMask', ['0077']],
    ['CapabilityBoundingSet', ['CAP_CHOWN CAP_FSETID CAP_DAC_OVERRIDE']],
    ['ProtectKernelTunables', ['yes']],
    ['ProtectKernelModules', ['yes']],
    ['ProtectControlGroups', ['yes']],
    ['RestrictNamespaces', ['yes']],
    ['LockPersonality', ['yes']],
    ['SystemCallArchitectures', ['native']],
  ])('the agent has %s=%j', (key, values) => {
    expect(valuesOf(AGENT, key)).toEqual(values)
  })

  it('start the agent before OpenBao, which does not fall with it', () => {
    expect(valuesOf(AGENT, 'Before')).toEqual(['openbao.service'])
    expect(valuesOf(OPENBAO, 'After')).toEqual(['sealwright-agent.service'])
    expect(valuesOf(OPENBAO, 'Wants')).toEqual(['sealwright-agent.service'])
    expect([valuesOf(OPENBAO, 'Requires'), valuesOf(OPENBAO, 'BindsTo')]).toEqual([[], []])
  })

  it('agree with the defaults of the configuration', () => {
    const folders = valuesOf(AGENT, 'RuntimeDirectory').flatMap(value => value.split(' ').map(name => `/run/${name}`))
    const parentOf = (path: string) => path.slice(0, path.lastIndexOf('/'))
    expect(folders).toContain(parentOf(defaultOf('controlSocket')))
    expect(folders).toContain(parentOf(defaultOf('ipcDirectory')))
    expect(valuesOf(AGENT, 'RuntimeDirectoryMode')).toEqual(['0711'])
    const state = valuesOf(AGENT, 'StateDirectory').map(name => `/var/lib/${name}`)
    expect(state).toEqual([parentOf(defaultOf('store'))])
    const [writable = ''] = valuesOf(AGENT, 'ReadWritePaths')
    expect(writable.split(' ')).toEqual([parentOf(defaultOf('store')), '/openbao/plugins'])
    expect(readText('libs/core/node-config/src/seal-schemas.ts')).toContain(`device: '/dev/tpmrm0'`)
  })

  it('call the programs with paths and options that they know, and reload by SIGHUP', () => {
    const [before = ''] = valuesOf(AGENT, 'ExecStartPre')
    const [agent = ''] = valuesOf(AGENT, 'ExecStart')
    expect(valuesOf(AGENT, 'ExecReload')).toEqual(['/bin/kill -HUP $MAINPID'])
    for (const [command, app] of [
      [before, 'bootstrap-init'],
      [agent, 'unsealer-sidecar'],
    ] as const) {
      const [program, ...words] = command.split(' ')
      const source = readText(`apps/${app}/src/main.ts`)
      expect(program).toBe(`/usr/local/bin/${app}`)
      const options = words.filter(word => word.startsWith('--'))
      expect(options.length).toBeGreaterThan(0)
      for (const option of options) expect(source).toMatch(new RegExp(`'${option}[ ']`))
      const config = words[words.indexOf('--config') + 1] ?? 'none'
      expect(source).toContain(`DEFAULT_CONFIG = '${config}'`)
    }
    // The same words as by hand, so that nobody has two sets of paths.
    const byHand = before
      .replace('/usr/local/bin/', '')
      .replace('--label %H', '--label NODE_ID')
      .replace(' --allow-unproven', '')
    expect(readText('README.md')).toContain(byHand)
    expect(before).toContain(' --allow-unproven')
  })

  it('are named in the documents', () => {
    const own = readText(`${FOLDER}README.md`)
    for (const path of units) expect(own).toContain(path)
    expect(readText('README.md')).toContain('(deploy/systemd/README.md)')
    expect(readText('README.md')).toContain('install -d -m 0711 /run/sealwright /run/sealwright/ipc')
  })
})
