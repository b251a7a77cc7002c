import { writeFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { type KmsConfig, parseKmsConfig } from '@sealwright/kms-config'
import { temporaryFolder } from '@sealwright/testing-rig'
import { parse } from 'yaml'
import { runHere } from '../../../testing/run-here.ts'
import { DEFAULT_CONFIG } from '../kms-command.ts'
import { EXAMPLE_CONFIG } from './example-config.ts'
import { IMAGE_PLACEHOLDER, renderStaticPod } from './static-pod.ts'
import { renderSystemdUnit } from './systemd-unit.ts'

/** The example with other fields. */
function configOf(changes: Readonly<Record<string, unknown>>): KmsConfig {
  return parseKmsConfig(JSON.stringify({ ...(parse(EXAMPLE_CONFIG) as object), ...changes }), 'a test')
}

const { backend } = parse(EXAMPLE_CONFIG) as { readonly backend: object }
const withToken = (tokenFile: string): KmsConfig =>
  configOf({ backend: { ...backend, auth: { method: 'token', tokenFile } } })
const withModule = (module: string): KmsConfig => {
  const hsm = { name: 'hsm', type: 'pkcs11', priority: 1, module, token: { label: 'kms' }, key: { label: 'kms' } }
  return configOf({ backend: { type: 'keyring', seals: [{ ...hsm, pinFile: '/etc/sealwright/pin' }] } })
}

const ROOT_HOME = '/root'

const unit = (config: KmsConfig, path = DEFAULT_CONFIG): string => renderSystemdUnit(config, path)
const pod = (config: KmsConfig, configPath = DEFAULT_CONFIG): string =>
  renderStaticPod(config, { image: IMAGE_PLACEHOLDER, configPath })
const unfit = (words: string): Error =>
  expect.objectContaining({
    code: 'KMS_COMMAND_FOLDER_UNFIT',
    message: expect.stringContaining(words) as string,
  }) as Error

describe('the folders of a printed file', () => {
  it.each([
    '/kms.sock',
    '/run/kms.sock',
    '/run/kms/../kms.sock',
    '/var/run/kms.sock',
    '/etc/kms.sock',
    '/srv/kms.sock',
  ])('are never all of what others share, as for a socket at %s', path => {
    const folder = path === '/kms.sock' ? '/' : path.replace(/\/kms(\/\.\.\/kms)?\.sock$/, '')
    for (const render of [unit, pod]) {
      expect(() => render(configOf({ socket: { path } }))).toThrow(unfit(`all of ${folder} would be`))
      expect(() => render(configOf({ statusSocket: path }))).toThrow(unfit(`all of ${folder} would be`))
    }
  })

  it.each(['/tmp', '/var/tmp'])('are never all of what others share, as for a socket in %s', folder => {
    const config = configOf({ socket: { path: `${folder}/kms.sock` } })
    expect(() => pod(config)).toThrow(unfit(`all of ${folder} would be`))
    expect(() => unit(config)).toThrow(unfit(folder))
  })

  it.each(['/', '/var', '/var/lib', '/var/lib/'])('are never all of what others share, as for state in %s', path => {
    for (const render of [unit, pod]) {
      expect(() => render(configOf({ stateDirectory: path }))).toThrow(unfit('a folder of its own'))
    }
  })

  it('of a static pod are not to be read either, if others share them', () => {
    expect(() => pod(configOf({}), '/etc/kms.yaml')).toThrow(unfit('all of /etc would be'))
    expect(() => pod(withToken('/token'))).toThrow(unfit('all of / would be'))
    expect(unit(configOf({}), '/etc/kms.yaml')).toContain('--config /etc/kms.yaml')
  })

  it.each([
    ['a credential in the home of root', withToken(`${ROOT_HOME}/kms/token`), 'ProtectHome=yes'],
    ['a credential in a home', withToken('/home/admin/token'), 'ProtectHome=yes'],
    ['a credential in the run folder of a user', withToken('/run/user/0/token'), 'ProtectHome=yes'],
    ['a credential among temporary files', withToken('/var/tmp/kms/token'), 'PrivateTmp=yes'],
    ['a socket among temporary files', configOf({ socket: { path: '/tmp/kms/kms.sock' } }), 'PrivateTmp=yes'],
    ['state in a home', configOf({ stateDirectory: '/home/kms' }), 'ProtectHome=yes'],
    ['a module in a home', withModule('/home/admin/libsofthsm2.so'), 'ProtectHome=yes'],
  ])('of a unit are not what it hides from the plugin: %s', (_what, config, line) => {
    expect(() => unit(config)).toThrow(unfit(`${line} of the unit hides`))
  })

  it('may begin like those, and a static pod has no such lines', () => {
    expect(unit(withToken('/rooted/token'))).toContain('ProtectHome=yes')
    expect(unit(withModule('/usr/lib/softhsm/libsofthsm2.so'))).toContain('ProtectHome=yes')
    expect(unit(configOf({}), '/home.d/kms.yaml')).toContain('--config /home.d/kms.yaml')
    expect(pod(withToken(`${ROOT_HOME}/kms/token`))).toContain(`mountPath: ${ROOT_HOME}/kms`)
  })

  it('has lines that hide them only if the check knows of it', () => {
    expect(unit(configOf({})).match(/^(?:ProtectHome|PrivateTmp|InaccessiblePaths|TemporaryFileSystem)=.*$/gm)).toEqual(
      ['ProtectHome=yes', 'PrivateTmp=yes'],
    )
  })

  it.each([
    '/run/my kms/kms.sock',
    "/run/k'ms/kms.sock",
    '/run/%n/kms.sock',
    '/run/k\nUser=x/kms.sock',
    '/run/a:/kms.sock',
  ])('have names that mean the same everywhere, unlike %j', path => {
    for (const render of [unit, pod]) {
      expect(() => render(configOf({ statusSocket: path }))).toThrow(unfit('would be read as something else'))
    }
  })
})

describe('a configuration that is named from where the operator stands', () => {
  it('stands in the file by its whole path', async () => {
    await using folder = await temporaryFolder()
    const path = folder.join('kms.yaml')
    await writeFile(path, EXAMPLE_CONFIG, { mode: 0o600 })
    const named = relative(process.cwd(), path)
    expect(named).not.toBe(path)
    const { stdout } = await runHere(['kms', 'static-pod', '--image', IMAGE_PLACEHOLDER, '--config', named])
    expect(stdout).toContain(`\n        - ${path}\n`)
    expect(stdout).toContain(`mountPath: ${folder.path}\n`)
    // The unit hides temporary files, whose whole path it names.
    expect((await runHere(['kms', 'systemd-unit', '--config', named])).stderr).toContain(
      `KMS_COMMAND_FOLDER_UNFIT: ${folder.path}: PrivateTmp=yes`,
    )
  })
})
