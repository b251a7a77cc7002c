import { writeFile } from 'node:fs/promises'
import { parseNodeConfig } from '@sealwright/node-config'
import {
  createSoftHsm,
  type SoftHsm,
  type SoftHsmToken,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { type Outcome, runHere, type World } from '../testing/run-here.ts'
import { usableType } from './key-type.ts'

let folder: TemporaryFolder
let hsm: SoftHsm
let token: SoftHsmToken

beforeEach(async () => {
  folder = await temporaryFolder()
  hsm = await createSoftHsm({ directory: folder.path })
  token = await hsm.addToken('node-1')
})

afterEach(async () => {
  await folder.remove()
})

/** Runs `sealctl pkcs11 COMMAND` with the module by its path. */
function pkcs11([command = '', ...rest]: readonly string[], world: World = {}): Promise<Outcome> {
  const source = ['--module', hsm.modulePath, '--module-env', `SOFTHSM2_CONF=${hsm.environment.SOFTHSM2_CONF}`]
  return runHere(['pkcs11', command, ...source, ...rest], world)
}

function onToken(): readonly string[] {
  return ['--token-label', 'node-1', '--pin-file', token.pinFile]
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { exitCode, stdout, stderr } = await pkcs11([...args, '--json'])
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return JSON.parse(stdout) as Record<string, unknown>
}

/** A file with a configuration of one PKCS#11 seal. */
async function configure(change: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const seal = {
    ...{ name: 'hsm', type: 'pkcs11', priority: 1, module: hsm.modulePath, environment: hsm.environment },
    ...{ token: { label: 'node-1' }, key: { label: 'kek' }, pinFile: token.pinFile },
    ...change,
  }
  const path = folder.join('node.yaml')
  await writeFile(path, JSON.stringify({ store: folder.join('store'), seals: [seal] }), { mode: 0o600 })
  return path
}

describe('sealctl pkcs11 tokens', () => {
  it('shows what is in the slots, blank tokens too, without a PIN', async () => {
    const { exitCode, stdout } = await pkcs11(['tokens'])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^module: SoftHSM .*\nLABEL +SERIAL NUMBER +MODEL +AES-GCM +RSA-OAEP\n/)
    expect(stdout).toMatch(/^node-1 +[0-9a-f]{16} +SoftHSM project SoftHSM v2 +yes +yes$/m)
    expect(stdout).toMatch(/^\(blank\) /m)
    expect(await json('tokens')).toMatchObject({
      module: { path: hsm.modulePath },
      tokens: expect.arrayContaining([expect.objectContaining({ label: 'node-1', isInitialised: true })]) as unknown,
    })
  })

  it('takes module and environment from the only PKCS#11 seal of the configuration', async () => {
    const config = await configure()
    const { exitCode, stdout } = await runHere(['pkcs11', 'tokens', '--config', config])
    expect({ exitCode, isThere: stdout.includes('node-1') }).toEqual({ exitCode: 0, isThere: true })
  })

  it.each([
    [['--seal', 'other'], 'PKCS11_COMMAND_NO_MODULE', /no PKCS#11 seal other: .*\(there: hsm\)/],
    [['--seal', 'hsm', '--module', '/nowhere'], 'SEALCTL_USAGE', /cannot be used with/],
    [['--module', '/nowhere'], 'PKCS11_MODULE_UNAVAILABLE', /nowhere/],
    [['--module-env', 'lower=1'], 'SEALCTL_USAGE', /NAME=VALUE/],
    [['--timeout', '0'], 'SEALCTL_USAGE', /1 to 600/],
  ])('says what is wrong with %j', async (args, code, message) => {
    const config = await configure()
    const { exitCode, stdout, stderr } = await runHere(['pkcs11', 'tokens', '--config', config, ...args])
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^sealctl: ${code}: `))
    expect(stderr).toMatch(message)
  })
})

describe('sealctl pkcs11 generate-key', () => {
  it('makes a key, and says what node.yaml needs: with that the seal is configured', async () => {
    const { exitCode, stdout } = await pkcs11(['generate-key', ...onToken(), '--label', 'kek'])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^AES-256 kek is on the token node-1, and cannot leave it\.\nAmong the seals of node\.yaml/)
    const [, yaml = ''] = stdout.split('\n\n')
    const config = parseNodeConfig(`store: /store\nseals:\n${yaml}`, 'shown')
    expect(config.seals).toMatchObject([
      {
        ...{ type: 'pkcs11', module: hsm.modulePath, environment: hsm.environment, mechanism: 'aes-gcm' },
        ...{ token: { label: 'node-1' }, pinFile: token.pinFile },
      },
    ])
    const { keys } = await json('keys', ...onToken())
    const [key] = config.seals.flatMap(seal => (seal.type === 'pkcs11' ? [seal.key] : []))
    expect(keys).toMatchObject([{ ...key, label: 'kek', kind: 'aes', bits: 256, isExtractable: false }])
    const shown = await pkcs11(['keys', ...onToken()])
    expect(shown.stdout).toMatch(/^kek +[0-9a-f]{32} +AES-256 +made there, never left it$/m)
  })

  it('makes an RSA key where that is wanted, and says what it is worth', async () => {
    const config = await configure()
    const args = ['--config', config, '--label', 'rsa', '--type', 'rsa', '--bits', '2048']
    const { exitCode, stdout } = await runHere(['pkcs11', 'generate-key', ...args])
    expect(exitCode).toBe(0)
    expect(stdout).toContain('quantum')
    expect(stdout).toMatch(
      /Give the seal hsm of node\.yaml {2}key: { id: "[0-9a-f]{32}" } {2}and {2}mechanism: rsa-oaep\n/,
    )
  })

  it.each([
    [[], 'PKCS11_COMMAND_NO_TOKEN'],
    [['--token-label', 'node-1'], 'PKCS11_COMMAND_NO_PIN'],
    [['--token-label', 'node-7', '--pin-file', 'PIN'], 'PKCS11_TOKEN_NOT_FOUND'],
    [['--token-label', 'node-1', '--pin-file', '/nowhere'], 'SECRET_FILE_UNREADABLE'],
    [['--token-label', 'node-1', '--pin-file', 'PIN', '--bits', '1024'], 'SEALCTL_USAGE'],
  ])('ends with a code, and makes nothing, of %j', async (args, code) => {
    const given = args.map(each => (each === 'PIN' ? token.pinFile : each))
    const { exitCode, stderr } = await pkcs11(['generate-key', '--label', 'kek', ...given])
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(new RegExp(`^sealctl: ${code}: `))
    expect(await json('keys', ...onToken())).toMatchObject({ keys: [] })
  })

  it('asks for the PIN at a terminal, and shows nothing of it', async () => {
    const world = { input: `${token.pin}\r`, isTerminal: true }
    const args = ['generate-key', '--token-label', 'node-1', '--label', 'kek']
    const { exitCode, stdout, stderr } = await pkcs11(args, world)
    expect({ exitCode, asked: stderr.includes('PIN of node-1: ') }).toEqual({ exitCode: 0, asked: true })
    expect(stdout + stderr).not.toContain(token.pin)
  })
})

describe('the type of a new key', () => {
  it.each([
    [{ hasAesGcm: true, hasRsaOaep: true }, undefined, 'aes'],
    [{ hasAesGcm: false, hasRsaOaep: true }, undefined, 'rsa'],
    [{ hasAesGcm: true, hasRsaOaep: true }, 'rsa', 'rsa'],
    [undefined, undefined, 'aes'],
  ] as const)('on a token with %j, wanted as %s, is %s', (offers, wanted, type) => {
    expect(usableType(offers, wanted)).toBe(type)
  })

  it.each([
    [{ hasAesGcm: false, hasRsaOaep: true }, 'aes', /AES-GCM: leave --type out$/],
    [{ hasAesGcm: true, hasRsaOaep: false }, 'rsa', /RSA-OAEP: leave --type out$/],
    [{ hasAesGcm: false, hasRsaOaep: false }, undefined, /it is of no use here$/],
  ] as const)('is refused on a token with %j, wanted as %s', (offers, wanted, message) => {
    const refusal = (): unknown => usableType(offers, wanted)
    expect(refusal).toThrow(expect.objectContaining({ code: 'PKCS11_COMMAND_NO_MECHANISM' }) as Error)
    expect(refusal).toThrow(message)
  })
})

describe('sealctl pkcs11 init-token', () => {
  const newPins = { input: 'officer-1\rofficer-1\ruser-1\ruser-1\r', isTerminal: true }

  it('sets a blank token up with PINs that are typed twice; a key can be made on it', async () => {
    const { exitCode, stdout, stderr } = await pkcs11(['init-token', '--label', 'node-2'], newPins)
    expect({ exitCode }).toEqual({ exitCode: 0 })
    expect(stdout).toMatch(/^the token node-2 \([0-9a-f]{16}\) is set up\. /)
    expect(stdout + stderr).not.toMatch(/officer-1|user-1/)
    const made = await pkcs11(['generate-key', '--token-label', 'node-2', '--label', 'kek'], {
      input: 'user-1\r',
      isTerminal: true,
    })
    expect(made.exitCode).toBe(0)
  })

  it.each([
    ['officer-1\rofficer-2\r', 'PKCS11_COMMAND_PIN_DIFFERS', 'node-2'],
    ['\r', 'PKCS11_COMMAND_NO_PIN', 'node-2'],
    ['officer-1\rofficer-1\r1\r1\r', 'PKCS11_PIN_INVALID', 'node-2'],
    [newPins.input, 'PKCS11_TOKEN_AMBIGUOUS', 'node-1'],
  ])('changes nothing after %j: %s', async (input, code, label) => {
    const before = await json('tokens')
    const { exitCode, stderr } = await pkcs11(['init-token', '--label', label], { input, isTerminal: true })
    expect(exitCode).toBe(1)
    expect(stderr).toContain(`sealctl: ${code}: `)
    expect(await json('tokens')).toEqual(before)
  })
})
