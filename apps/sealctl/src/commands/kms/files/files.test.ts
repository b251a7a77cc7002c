import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type KmsConfig, parseKmsConfig } from '@sealwright/kms-config'
import { repositoryRoot, temporaryFolder } from '@sealwright/testing-rig'
import { parse } from 'yaml'
import { runHere } from '../../../testing/run-here.ts'
import { DEFAULT_CONFIG } from '../kms-command.ts'
import { renderEncryptionConfig } from './encryption-config.ts'
import { EXAMPLE_CONFIG } from './example-config.ts'
import { renderPolicy } from './policy.ts'
import { IMAGE_PLACEHOLDER, renderStaticPod } from './static-pod.ts'
import { renderSystemdUnit } from './systemd-unit.ts'

const EXAMPLE = parseKmsConfig(EXAMPLE_CONFIG, 'the example')

/** The example with other fields. */
function configOf(changes: Readonly<Record<string, unknown>>): KmsConfig {
  return parseKmsConfig(JSON.stringify({ ...(parse(EXAMPLE_CONFIG) as object), ...changes }), 'a test')
}

function transitOf(config: KmsConfig) {
  if (config.backend.type !== 'transit') throw new Error('it is made with a transit key')
  return config.backend
}

const transitBackend = { ...(parse(EXAMPLE_CONFIG) as { readonly backend: object }).backend }
const authOf = (auth: object): KmsConfig => {
  const tls = { caFile: '/c/ca.pem', certFile: '/c/crt.pem', keyFile: '/k/key.pem' }
  return configOf({ backend: { ...transitBackend, auth, tls } })
}
const keyringOf = (...seals: readonly object[]): KmsConfig => configOf({ backend: { type: 'keyring', seals } })
const tpm = { name: 'tpm', type: 'tpm', priority: 1, pinFile: '/etc/sealwright/pins/tpm' }

const encryption = (
  config: KmsConfig,
  options: { readonly resources?: readonly string[]; readonly stage?: 'first' | 'last' } = {},
) => renderEncryptionConfig(config, { name: 'sealwright', resources: [], stage: 'first', ...options })

describe('the files in deploy/kms', () => {
  const folder = join(repositoryRoot(), 'deploy/kms')
  const printed: Readonly<Record<string, string>> = {
    'kms.yaml': EXAMPLE_CONFIG,
    'policy.hcl': renderPolicy(EXAMPLE, transitOf(EXAMPLE), DEFAULT_CONFIG),
    'encryption-config.yaml': encryption(EXAMPLE),
    'sealwright-kms.service': renderSystemdUnit(EXAMPLE, DEFAULT_CONFIG),
    'static-pod.yaml': renderStaticPod(EXAMPLE, { image: IMAGE_PLACEHOLDER, configPath: DEFAULT_CONFIG }),
  }

  it.each(Object.keys(printed))('%s is what the command prints with --example', name => {
    expect(readFileSync(join(folder, name), 'utf8')).toBe(printed[name])
  })

  it.each([
    ['policy.hcl', ['policy', 'openbao']],
    ['encryption-config.yaml', ['encryption-config']],
    ['sealwright-kms.service', ['systemd-unit']],
    ['static-pod.yaml', ['static-pod', '--image', IMAGE_PLACEHOLDER]],
  ])('%s comes from kms %j --example', async (name, args) => {
    const { stdout } = await runHere(['kms', ...args, '--example'])
    expect(stdout).toBe(readFileSync(join(folder, name), 'utf8'))
  })

  it('are these, and a README', () => {
    expect(readdirSync(folder).sort()).toEqual([...Object.keys(printed), 'README.md'].sort())
  })
})

describe('the commands that print files', () => {
  it('print them for the configuration that they are given', async () => {
    await using folder = await temporaryFolder()
    const path = folder.join('kms.yaml')
    await writeFile(path, EXAMPLE_CONFIG.replace('prod-eu-1', 'other-1'), { mode: 0o600 })
    const print = async (...args: readonly string[]) => await runHere(['kms', ...args, '--config', path])
    const config = configOf({ clusterId: 'other-1' })
    expect(await print('policy', 'openbao')).toEqual({
      ...{ exitCode: 0, stderr: '', stdout: renderPolicy(config, transitOf(config), path) },
    })
    expect((await print('encryption-config', '--resource', 'configmaps', '--last')).stdout).toBe(
      encryption(config, { resources: ['configmaps'], stage: 'last' }),
    )
    const pod = await print('static-pod', '--image', IMAGE_PLACEHOLDER)
    expect(pod.stdout).toBe(renderStaticPod(config, { image: IMAGE_PLACEHOLDER, configPath: path }))
    const json = JSON.parse((await print('static-pod', '--image', IMAGE_PLACEHOLDER, '--json')).stdout) as unknown
    expect(json).toEqual({ file: pod.stdout })
    const second = await print('static-pod', '--image', IMAGE_PLACEHOLDER, '--name', 'sealwright-kms-2')
    expect(parse(second.stdout)).toMatchObject({
      metadata: { name: 'sealwright-kms-2', labels: { component: 'sealwright-kms-2' } },
    })
  })

  it.each([
    [['policy', 'openbao']],
    [['encryption-config']],
    [['systemd-unit']],
    [['static-pod', '--image', IMAGE_PLACEHOLDER]],
  ])('name a configuration that is not there, and print no example in its place: %j', async args => {
    // The usual configuration, which this machine has hardly; it is not that of the example, at any rate.
    expect((await runHere(['kms', ...args])).stdout).not.toContain('prod-eu-1')
    const { exitCode, stdout, stderr } = await runHere(['kms', ...args, '--config', '/nowhere/kms.yaml'])
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
    expect(stderr).toMatch(/CONFIG_UNREADABLE: .*\/nowhere\/kms\.yaml/)
    const both = await runHere(['kms', ...args, '--example', '--config', '/nowhere/kms.yaml'])
    expect(both).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringContaining('SEALCTL_USAGE') as string })
  })

  it('refuse what does not fit', async () => {
    await using folder = await temporaryFolder()
    const path = folder.join('kms.yaml')
    await writeFile(path, JSON.stringify({ clusterId: 'a', backend: { type: 'keyring', seals: [tpm] } }), {
      mode: 0o600,
    })
    const print = async (...args: readonly string[]) => await runHere(['kms', ...args, '--config', path])
    expect((await print('policy', 'openbao')).stderr).toContain('KMS_COMMAND_NO_TRANSIT')
    expect((await print('static-pod', '--image', IMAGE_PLACEHOLDER)).stderr).toContain('KMS_COMMAND_NO_STATIC_POD')
    expect((await print('static-pod', '--image', 'kms-plugin:latest')).stderr).toContain('by its digest')
    for (const name of ['', 'Second', 'a.b', '-a', 'a'.repeat(54)]) {
      const { stderr } = await print('static-pod', '--image', IMAGE_PLACEHOLDER, '--name', name)
      expect([name, stderr]).toEqual([name, expect.stringContaining('SEALCTL_USAGE')])
    }
    expect((await print('encryption-config', '--name', 'a:b')).stderr).toContain('SEALCTL_USAGE')
  })
})

describe('the policy', () => {
  it('lets the plugin encrypt, decrypt and look, and never create', () => {
    const rules = renderPolicy(EXAMPLE, transitOf(EXAMPLE), DEFAULT_CONFIG)
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))
    expect(rules.map(rule => rule.replaceAll(/ +/g, ' '))).toEqual([
      'path "transit/encrypt/kubernetes" { capabilities = ["update"] }',
      'path "transit/decrypt/kubernetes" { capabilities = ["update"] }',
      'path "transit/keys/kubernetes" { capabilities = ["read"] }',
      'path "auth/token/renew-self" { capabilities = ["update"] }',
      'path "auth/token/revoke-self" { capabilities = ["update"] }',
    ])
  })

  it.each([
    [
      { method: 'token', tokenFile: '/t' },
      /-no-default-policy .*\n.*f=\/t; cat > \$f\.new && \[ -s \$f\.new \] && mv \$f\.new \$f'/,
    ],
    [
      { method: 'approle', roleIdFile: '/r', secretIdFile: '/s' },
      /role\/sealwright-kms-prod-eu-1 token_policies=.*token_no_default_policy=true/,
    ],
    [
      { method: 'jwt', role: 'kms', jwtFile: '/j', mountPath: '/jwt2/' },
      /auth\/jwt2\/role\/kms role_type=jwt .*token_no_default_policy=true/,
    ],
    [
      { method: 'kubernetes', role: 'kms' },
      /role\/kms bound_.*token_no_default_policy=true[^]*CAUTION: OpenBao asks the API server/,
    ],
    [{ method: 'cert', role: 'node' }, /auth\/cert\/certs\/node .*token_no_default_policy=true/],
  ])('comes with the role for %j', (auth, expected) => {
    const config = authOf(auth)
    expect(renderPolicy(config, transitOf(config), DEFAULT_CONFIG)).toMatch(expected)
  })

  it.each([
    [DEFAULT_CONFIG, 'sealctl kms policy openbao | bao policy write sealwright-kms-prod-eu-1 -'],
    ['/srv/kms.yaml', 'sealctl kms policy openbao --config /srv/kms.yaml | bao policy write '],
    ["/srv/o'kms 2.yaml", "sealctl kms policy openbao --config '/srv/o'\\''kms 2.yaml' | bao policy write "],
  ])('is written by the configuration that it was printed for: %s', (path, expected) => {
    expect(renderPolicy(EXAMPLE, transitOf(EXAMPLE), path)).toContain(expected)
  })

  it('has nobody bring an administrator’s token to a node, nor empties a file there', () => {
    for (const auth of [
      { method: 'token', tokenFile: '/t' },
      { method: 'approle', roleIdFile: '/r', secretIdFile: '/s' },
    ]) {
      const config = authOf(auth)
      expect(renderPolicy(config, transitOf(config), DEFAULT_CONFIG)).not.toMatch(/> *\//)
    }
  })

  it('is for the mount and namespace of the key', () => {
    const config = configOf({ backend: { ...transitBackend, mountPath: '/team/transit/', namespace: 'team' } })
    const text = renderPolicy(config, transitOf(config), DEFAULT_CONFIG)
    expect(text).toContain('path "team/transit/encrypt/kubernetes"')
    expect(text).toContain('export BAO_NAMESPACE=team')
  })
})

describe('the EncryptionConfiguration', () => {
  const parsed = (...args: Parameters<typeof encryption>): unknown => parse(encryption(...args))

  it('has the plugin first, or last, and reads what is in clear', () => {
    const kms = {
      ...{ apiVersion: 'v2', name: 'sealwright', timeout: '3s' },
      endpoint: 'unix:///run/sealwright/kms/kms.sock',
    }
    const of = (providers: readonly object[]) => ({
      ...{ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration' },
      resources: [{ resources: ['secrets'], providers }],
    })
    expect(parsed(EXAMPLE)).toEqual(of([{ kms }, { identity: {} }]))
    expect(parsed(EXAMPLE, { stage: 'last' })).toEqual(of([{ identity: {} }, { kms }]))
  })

  it.each([
    [['configmaps'], ['secrets', 'configmaps']],
    [
      ['secrets', 'ingresses.networking.k8s.io'],
      ['secrets', 'ingresses.networking.k8s.io'],
    ],
    [['*.*'], ['*.*']],
    [
      ['*.', 'events.example.org'],
      ['*.', 'events.example.org'],
    ],
    [['*.apps'], ['secrets', '*.apps']],
  ])('is for the resources %j', (resources, expected) => {
    expect(parsed(EXAMPLE, { resources })).toMatchObject({ resources: [{ resources: expected }] })
  })

  it.each([
    ...[[['*']], [['Secrets']], [['*.*', 'secrets']], [['*.', 'configmaps']], [['a b']], [['']]],
    ...[[['*.apps', 'deployments.apps']], [['events.events.k8s.io']], [['*.extensions']], [['serviceipallocations']]],
    ...[[['apiserveripinfo']], [['pods.*']]],
  ])('is not made for %j, which kube-apiserver refuses', resources => {
    expect(() => encryption(EXAMPLE, { resources })).toThrow(
      expect.objectContaining({ code: 'SEALCTL_USAGE' }) as Error,
    )
  })
})

/** The directives of a unit, by section and key. */
function directivesOf(unit: string): ReadonlyMap<string, readonly string[]> {
  const directives = new Map<string, string[]>()
  for (const line of unit.split('\n')) {
    if (line === '' || line.startsWith('#') || line.startsWith('[')) continue
    const [, key = '', value = ''] = /^([A-Z]\w*)=(.*)$/.exec(line) ?? []
    expect([line, key]).not.toEqual([line, ''])
    directives.set(key, [...(directives.get(key) ?? []), value])
  }
  return directives
}

describe('the systemd unit', () => {
  const unit = renderSystemdUnit(EXAMPLE, DEFAULT_CONFIG)

  it.each([
    ['Before', 'kubelet.service'],
    ['ExecStart', '/usr/local/bin/kms-plugin --config /etc/sealwright/kms.yaml'],
    ['Restart', 'always'],
    ['StartLimitIntervalSec', '0'],
    ['RuntimeDirectory', 'sealwright/kms'],
    ['RuntimeDirectoryMode', '0700'],
    ['RuntimeDirectoryPreserve', 'yes'],
    ['StateDirectory', 'sealwright/kms/state'],
    ['UMask', '0077'],
    ['LimitCORE', '0'],
    ['MemorySwapMax', '0'],
    ['NoNewPrivileges', 'yes'],
    ['CapabilityBoundingSet', ''],
    ['AmbientCapabilities', ''],
    ['ProtectSystem', 'strict'],
    ['ProtectHome', 'yes'],
    ['PrivateDevices', 'yes'],
    ['SystemCallArchitectures', 'native'],
    ['SystemCallErrorNumber', 'EPERM'],
    ['WantedBy', 'multi-user.target'],
  ])('has %s=%s, once', (key, value) => {
    expect(directivesOf(unit).get(key)).toEqual([value])
  })

  it('takes every way into Node out of the environment, and calls the system only as a service does', () => {
    const directives = directivesOf(unit)
    expect(directives.get('UnsetEnvironment')?.[0]?.split(' ')).toEqual(
      expect.arrayContaining(['NODE_OPTIONS', 'NODE_TLS_REJECT_UNAUTHORIZED', 'NODE_EXTRA_CA_CERTS']),
    )
    expect(directives.get('Environment')).toEqual(['GLIBC_TUNABLES=glibc.malloc.perturb=90:glibc.malloc.arena_max=1'])
    expect(directives.get('SystemCallFilter')?.[0]).toBe('@system-service')
    expect(directives.get('SystemCallFilter')?.[1]).toMatch(/^~@privileged/)
  })

  it('follows the configuration', () => {
    const moved = directivesOf(
      renderSystemdUnit(
        configOf({
          socket: { path: '/srv/kms/kms.sock', groupId: 5 },
          statusSocket: '/run/kms/s',
          stateDirectory: '/srv/state',
        }),
        '/srv/kms.yaml',
      ),
    )
    expect(moved.get('RuntimeDirectory')).toEqual(['kms'])
    expect(moved.get('RuntimeDirectoryMode')).toEqual(['0711'])
    expect(moved.get('StateDirectory')).toBeUndefined()
    expect(moved.get('ReadWritePaths')).toEqual(['/srv/kms /srv/state'])
    expect(moved.get('CapabilityBoundingSet')).toEqual(['CAP_CHOWN'])
    expect(moved.get('SystemCallFilter')?.at(-1)).toBe('@chown')
    const keyring = directivesOf(renderSystemdUnit(keyringOf(tpm), DEFAULT_CONFIG))
    expect(keyring.get('StateDirectory')).toEqual(['sealwright/kms/keyring sealwright/kms/state'])
    expect(keyring.get('DeviceAllow')).toEqual(['/dev/tpmrm0 rw', 'char-tpm rw'])
    expect(keyring.get('CapabilityBoundingSet')).toEqual(['CAP_DAC_OVERRIDE'])
    expect(keyring.get('PrivateDevices')).toBeUndefined()
  })

  it.each([
    ['a transit key', EXAMPLE],
    ['a socket for others', configOf({ socket: { userId: 5 } })],
    ['a keyring behind a TPM', keyringOf(tpm)],
  ])('is understood by systemd, for %s', async (_what, config) => {
    await using folder = await temporaryFolder()
    const path = folder.join('sealwright-kms.service')
    // The program is not installed here.
    await writeFile(path, renderSystemdUnit(config, DEFAULT_CONFIG).replace('/usr/local/bin/kms-plugin', '/bin/true'))
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' })
    expect({ status, stdout, stderr: stderr.split('\n').filter(line => line.includes('sealwright-kms')) }).toEqual({
      ...{ status: 0, stdout: '', stderr: [] },
    })
  })

  it('leaves little open, as systemd sees it', async () => {
    await using folder = await temporaryFolder()
    const path = folder.join('sealwright-kms.service')
    await writeFile(path, unit)
    const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', path], {
      encoding: 'utf8',
    })
    const [, exposure] = /Overall exposure level for sealwright-kms\.service: ([\d.]+)/.exec(stdout) ?? []
    // 0 is closed, 10 is open. It has to reach OpenBao, and Node compiles at run time.
    expect(Number(exposure)).toBeLessThan(2)
  })
})

describe('the static pod', () => {
  interface Pod {
    readonly spec: {
      readonly containers: readonly [
        {
          readonly securityContext: object
          readonly volumeMounts: readonly {
            readonly name: string
            readonly mountPath: string
            readonly readOnly?: boolean
          }[]
          readonly livenessProbe: { readonly exec: { readonly command: readonly string[] } }
        },
      ]
      readonly volumes: readonly {
        readonly name: string
        readonly hostPath: { readonly path: string; readonly type: string }
      }[]
    }
  }
  const podOf = (config: KmsConfig): Pod =>
    parse(renderStaticPod(config, { image: IMAGE_PLACEHOLDER, configPath: DEFAULT_CONFIG })) as Pod

  it('needs nothing of the cluster, and may do nothing', () => {
    const pod = podOf(EXAMPLE)
    expect(pod).toMatchObject({
      ...{ apiVersion: 'v1', kind: 'Pod' },
      spec: {
        ...{ hostNetwork: true, dnsPolicy: 'Default', priorityClassName: 'system-node-critical' },
        ...{ automountServiceAccountToken: false, enableServiceLinks: false },
        securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            image: IMAGE_PLACEHOLDER,
            args: ['--config', DEFAULT_CONFIG],
            env: [
              { name: 'NODE_OPTIONS', value: '' },
              { name: 'GLIBC_TUNABLES', value: 'glibc.malloc.perturb=90:glibc.malloc.arena_max=1' },
            ],
          },
        ],
      },
    })
    expect(pod.spec.containers[0].securityContext).toEqual({
      ...{
        runAsUser: 0,
        runAsGroup: 0,
        privileged: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
      },
      capabilities: { drop: ['ALL'] },
    })
  })

  it('mounts the folders of the configuration, and writes only to sockets and state', () => {
    const { containers, volumes } = podOf(EXAMPLE).spec
    expect(containers[0].volumeMounts).toEqual([
      { name: 'config', mountPath: '/etc/sealwright', readOnly: true },
      { name: 'sockets', mountPath: '/run/sealwright/kms' },
      { name: 'state', mountPath: '/var/lib/sealwright/kms/state' },
    ])
    expect(volumes.map(({ name, hostPath: { path } }) => [name, path])).toEqual(
      containers[0].volumeMounts.map(({ name, mountPath }) => [name, mountPath]),
    )
    const { containers: moved } = podOf(authOf({ method: 'token', tokenFile: '/t/token' })).spec
    expect(moved[0].volumeMounts.filter(({ readOnly }) => readOnly).map(({ mountPath }) => mountPath)).toEqual([
      ...['/c', '/etc/sealwright', '/k', '/t'],
    ])
  })

  it('has a keyring only where that needs no device', () => {
    const transitSeal = {
      ...{ name: 'bao', type: 'transit', priority: 1, address: 'https://bao-1.example.org', keyName: 'k' },
      auth: { method: 'token', tokenFile: '/t/token' },
    }
    expect(podOf(keyringOf(transitSeal, { ...tpm, disabled: true })).spec.volumes.map(({ name }) => name)).toContain(
      'state-2',
    )
    expect(() => podOf(keyringOf(transitSeal, { ...tpm, priority: 2 }))).toThrow(
      expect.objectContaining({ code: 'KMS_COMMAND_NO_STATIC_POD' }) as Error,
    )
  })

  it('lets the kubelet make folders, but no store: it makes them for all to read, as which a store is refused', () => {
    const typesOf = (config: KmsConfig): readonly (readonly [string, string])[] =>
      podOf(config).spec.volumes.map(({ hostPath: { path, type } }) => [path, type] as const)
    const others = [
      ['/etc/sealwright', 'Directory'],
      ['/run/sealwright/kms', 'DirectoryOrCreate'],
    ]
    const state = '/var/lib/sealwright/kms/state'
    expect(typesOf(EXAMPLE)).toEqual([...others, [state, 'DirectoryOrCreate']])
    const keyring = keyringOf({ ...tpm, disabled: true }, { name: 'people', type: 'shamir', priority: 2 })
    expect(typesOf(keyring)).toEqual([
      ...others,
      ['/var/lib/sealwright/kms/keyring', 'Directory'],
      [state, 'DirectoryOrCreate'],
    ])
    const within = { ...keyring, stateDirectory: '/var/lib/sealwright/kms' }
    expect(typesOf(within)).toEqual([...others, ['/var/lib/sealwright/kms', 'Directory']])
    const manifest = renderStaticPod(keyring, { image: IMAGE_PLACEHOLDER, configPath: DEFAULT_CONFIG })
    expect(manifest).toContain('# The store of the keyring has to be there beforehand: install -d -m 0700 /var/lib/')
    expect(manifest).toContain('flock')
  })

  it('gives CHOWN only for a socket that is another user’s', () => {
    expect(podOf(configOf({ socket: { userId: 7 } })).spec.containers[0].securityContext).toMatchObject({
      capabilities: { drop: ['ALL'], add: ['CHOWN'] },
    })
  })

  it('asks the status socket by a line that Node runs', async () => {
    await using folder = await temporaryFolder()
    const config = configOf({ statusSocket: folder.join('s') })
    const [program, ...args] = podOf(config).spec.containers[0].livenessProbe.exec.command
    expect(program).toBe('node')
    expect(spawnSync(process.execPath, args).status).toBe(1)
    const server = `require('http').createServer((q, r) => r.writeHead(q.url === '/healthz' ? 200 : 503).end()).listen('${folder.join('s')}', () => {
      require('child_process').spawn(process.execPath, ${JSON.stringify(args)}).on('exit', code => process.exit(code + 40))
    })`
    expect(spawnSync(process.execPath, ['-e', server]).status).toBe(40)
  })
})
