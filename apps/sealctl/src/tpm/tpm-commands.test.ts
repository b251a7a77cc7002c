import { execFile } from 'node:child_process'
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import { Command } from 'commander'
import { createKeyring, encodeKeyring, KEY_BYTES } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { configuredSeals, openKeyringStore } from '@sealwright/node-seals'
import { Secret } from '@sealwright/secret'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type Session } from '../command.ts'
import { type InputStream } from '../context.ts'
import { registerTpmCommands } from './register.ts'

const run = promisify(execFile)
const { signal } = new AbortController()
const NO_PROGRAMS = { pkcs11Program: { command: '/nonexistent', args: [] } } as const
const operator = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const publicKey = operator.publicKey.export({ type: 'spki', format: 'pem' }).toString()

let folder: TemporaryFolder
let swtpm: Swtpm
const at = (name: string): string => join(folder.path, name)

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  await writePrivate('operator.pem', operator.privateKey.export({ type: 'pkcs8', format: 'pem' }))
  await configure('v1')
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

async function writePrivate(name: string, text: string | Buffer): Promise<void> {
  await writeFile(at(name), text, { mode: 0o600 })
}

async function configure(reference: string): Promise<void> {
  const signedPolicy = { publicKey, reference, policiesFile: at('policies.json') }
  const tpm = { socket: swtpm.socketPath }
  const seals = [{ name: 'tpm', type: 'tpm', priority: 1, tpm, signedPolicy }]
  await writePrivate('node.yaml', JSON.stringify({ store: at('store'), seals }))
}

interface Outcome {
  readonly exitCode: number
  readonly output: string
  readonly code?: string
}

/** Runs `sealctl tpm ARGUMENTS`, with the configuration of this node where the command has one, and nobody at a terminal. */
function sealctl(command: string, ...rest: readonly string[]): Promise<Outcome> {
  return sealctlAt(new PassThrough(), command, ...rest)
}

async function sealctlAt(stdin: InputStream, command: string, ...rest: readonly string[]): Promise<Outcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const session: Session = {
    context: { stdin, stdout, stderr, signal, now: () => new Date(0), interrupt: () => undefined },
    exitCode: 0,
  }
  const program = new Command('sealctl').exitOverride().configureOutput({ writeErr: () => undefined })
  registerTpmCommands(program, session, NO_PROGRAMS)
  for (const each of program.commands.flatMap(({ commands }) => commands)) {
    each.exitOverride().configureOutput({ writeErr: () => undefined, writeOut: text => stdout.write(text) })
  }
  const node = ['sign', 'events'].includes(command) ? [] : ['--config', at('node.yaml'), '--seal', 'tpm']
  const failure = await program.parseAsync(['tpm', command, ...node, ...rest], { from: 'user' }).then(
    () => ({}),
    (error: unknown) => ({ code: (error as { code: string }).code }), // every failure here has one
  )
  const output = ((stdout.read() as Buffer | null) ?? '').toString()
  return { exitCode: session.exitCode, output, ...failure }
}

async function json(command: string, ...rest: readonly string[]): Promise<Record<string, unknown>> {
  const { output, code } = await sealctl(command, '--json', ...rest)
  if (code !== undefined) throw new Error(code)
  return JSON.parse(output) as Record<string, unknown>
}

/** Enrols the seal that `node.yaml` has into a new store. */
async function enrol(): Promise<void> {
  const config = parseNodeConfig(await readFile(at('node.yaml'), 'utf8'), 'test')
  const [seal] = configuredSeals(config, NO_PROGRAMS)
  const keyring = await seal?.withLocalMember({ knownIn: undefined, signal }, member =>
    createKeyring({
      ...{ sealName: 'tpm', member, method: member.method, label: 'node', now: Date.now, randomBytes, signal },
      sealKey: new Secret(Uint8Array.from(randomBytes(KEY_BYTES))),
    }),
  )
  if (keyring === undefined) throw new Error('a seal was configured')
  await using store = await openKeyringStore(at('store'), { create: true })
  const bytes = encodeKeyring(keyring)
  await store.writeKeyring({ bytes, expectedCurrent: undefined, prove: () => Promise.resolve(), signal })
}

const sha256 = (...parts: readonly Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()

/** An event of the crypto agile form with one digest of SHA-256. */
function event(pcr: number, text: string): Buffer {
  const data = Buffer.from(text)
  const head = Buffer.alloc(14)
  head.writeUInt32LE(pcr, 0)
  head.writeUInt32LE(5, 4) // EV_ACTION
  head.writeUInt32LE(1, 8)
  head.writeUInt16LE(0x000b, 12)
  const size = Buffer.alloc(4)
  size.writeUInt32LE(data.byteLength)
  return Buffer.concat([head, sha256(data), size, data])
}

/** Boots: power, then each measurement into the TPM and into the log of the firmware. */
async function boot(...measurements: readonly string[]): Promise<void> {
  await swtpm.powerCycle()
  for (const text of measurements) {
    await run('tpm2_pcrextend', [
      '-T',
      `swtpm:path=${swtpm.socketPath}`,
      `7:sha256=${sha256(Buffer.from(text)).toString('hex')}`,
    ])
  }
  const specification = Buffer.concat([
    Buffer.from('Spec ID Event03\0'),
    Buffer.from('00000000' + '00026a02' + '01000000' + '0b002000' + '00', 'hex'),
  ])
  const header = Buffer.alloc(32)
  header.writeUInt32LE(3, 4)
  header.writeUInt32LE(specification.byteLength, 28)
  await writeFile(at('log'), Buffer.concat([header, specification, ...measurements.map(text => event(7, text))]))
}

const replacement = (text: string): string => sha256(Buffer.from(text)).toString('hex')

describe('an update as an operator does it', () => {
  it('is predicted from the event log, signed, added, tested, booted, and the old state retired', async () => {
    await boot('firmware 1', 'secure boot on')
    await enrol()
    expect((await sealctl('test')).exitCode).toBe(2)
    expect((await sealctl('predict', '--label', 'one', '--out', at('one.json'))).code).toBe('TPM_COMMAND_NO_PCRS')

    await json('predict', '--pcrs', '7', '--label', 'firmware 1', '--out', at('one.json'))
    await json('sign', at('one.json'), '--key', at('operator.pem'), '--out', at('one-signed.json'))
    expect(await json('add', at('one-signed.json'))).toMatchObject({ policies: 1 })
    expect(await sealctl('test')).toMatchObject({ exitCode: 0, output: expect.stringContaining('tpm opens') as string })

    const next = ['--event-log', at('log'), '--replace-event', `7:0=${replacement('firmware 2')}`]
    const predicted = await json('predict', ...next, '--label', 'firmware 2', '--out', at('two.json'))
    expect(predicted).toMatchObject({ reference: 'v1', pcrs: [{ pcr: 7, source: 'events' }] })
    await json('sign', at('two.json'), '--key', at('operator.pem'), '--out', at('two-signed.json'))
    await json('add', at('two-signed.json'))
    expect(await json('test')).toMatchObject({
      opens: true,
      booted: 'firmware 1',
      policies: [{ standing: 'fits' }, { standing: 'differs', differsInPcrs: [7] }],
    })

    await boot('firmware 2', 'secure boot on')
    expect(await json('test')).toMatchObject({ opens: true, booted: 'firmware 2' })
    expect(await json('retire')).toMatchObject({ retired: ['firmware 1'], kept: ['firmware 2'] })
    expect(await sealctl('retire')).toMatchObject({ output: 'Nothing to retire: firmware 2 stays.\n' })

    await boot('firmware 1', 'secure boot on')
    expect(await json('test')).toMatchObject({
      opens: false,
      failure: { code: 'TPM_STATE_UNAPPROVED', message: expect.stringContaining('differs in PCR 7') as string },
    })
    expect((await sealctl('retire')).code).toBe('POLICIES_NOT_PROVEN')
  })

  it('ends in a new reference, under which the seal is made anew', async () => {
    await boot('firmware 1')
    await enrol()
    await json('predict', '--pcrs', '7', '--label', 'old', '--out', at('one.json'))
    await json('sign', at('one.json'), '--key', at('operator.pem'), '--out', at('one-signed.json'))
    await json('add', at('one-signed.json'))
    await json('predict', '--reference', 'v2', '--label', 'new', '--out', at('two.json'))
    await json('sign', at('two.json'), '--key', at('operator.pem'), '--out', at('two-signed.json'))
    const added = await sealctl('add', at('two-signed.json'))
    expect(added.output).toContain('another reference than the configured v1')

    await configure('v2')
    expect(await json('test')).toMatchObject({ opens: false, failure: { code: 'TPM_POLICY_WEAKER' } })
    expect(await json('reseal')).toMatchObject({ openedBy: 'tpm', generations: [1] })
    expect(await json('test')).toMatchObject({ opens: true, reference: 'v2', booted: 'new' })
    expect(await json('retire')).toMatchObject({ retired: ['old'] })
    expect(await json('test')).toMatchObject({ opens: true })
  })
})

describe('a prediction', () => {
  beforeEach(() => boot('firmware 1'))
  const out = (): readonly string[] => ['--label', 'x', '--out', at('x.json')]

  it('takes given values as systemd-measure and people write them, and the present ones for the rest', async () => {
    const value = 'ab'.repeat(32)
    for (const written of [`11=${value}`, `11:sha256=${value}`, `11=0x${value.toUpperCase()}`]) {
      await rm(at('x.json'), { force: true })
      expect(await json('predict', '--pcrs', '11,7', '--pcr', written, ...out())).toMatchObject({
        pcrs: [
          { pcr: 7, source: 'present' },
          { pcr: 11, sha256: value, source: 'given' },
        ],
      })
    }
  })

  it('warns of PCRs that any program can bring about, and so does the signature', async () => {
    const predicted = await sealctl('predict', '--pcrs', '16', ...out())
    expect(predicted.output).toContain('WARNING: any program can reset PCR 16 and 23')
    const signed = await sealctl('sign', at('x.json'), '--key', at('operator.pem'), '--out', at('signed.json'))
    expect(signed.output).toContain('keeps nobody out: x')
  })

  it('is refused where values conflict, where the log does not add up, and over a file that is there', async () => {
    const predict = async (...rest: readonly string[]) =>
      (await sealctl('predict', '--pcrs', '7', ...out(), ...rest)).code
    const value = 'ab'.repeat(32)
    const log = ['--event-log', at('log')]
    expect(await predict('--pcr', `8=${value}`)).toBe('TPM_COMMAND_PCR_CONFLICT')
    expect(await predict('--pcr', `7=${value}`, '--pcr', `7=${value}`)).toBe('TPM_COMMAND_PCR_CONFLICT')
    expect(await predict('--pcr', `7=${value}`, ...log, '--replace-event', `7:0=${value}`)).toBe(
      'TPM_COMMAND_PCR_CONFLICT',
    )
    const twice = ['--replace-event', `7:0=${value}`, '--replace-event', `7:0=${value}`]
    expect(await predict(...log, ...twice)).toBe('TPM_COMMAND_PCR_CONFLICT')
    expect(await predict(...log, '--replace-event', `7:1=${value}`)).toBe('BOOT_LOG_NO_SUCH_EVENT')
    expect(await predict('--event-log', at('none'), '--replace-event', `7:0=${value}`)).toBe(
      'TPM_COMMAND_INPUT_UNREADABLE',
    )
    await run('tpm2_pcrextend', ['-T', `swtpm:path=${swtpm.socketPath}`, `7:sha256=${value}`])
    expect(await predict(...log, '--replace-event', `7:0=${value}`)).toBe('TPM_COMMAND_LOG_DISAGREES')
    expect(await predict()).toBeUndefined()
    expect(await predict()).toBe('POLICIES_FILE_EXISTS')
  })

  it.each([
    ['--pcr', '7=12'],
    ['--pcr', `24=${'00'.repeat(32)}`],
    ['--replace-event', `7=${'00'.repeat(32)}`],
    ['--pcrs', '7,7'],
    ['--pcrs', '7;8'],
    ['--reference', 'two words'],
  ])('is refused with %s %s, before anything is asked', async (option, value) => {
    expect((await sealctl('predict', '--pcrs', '7', ...out(), option, value)).code).toBe('commander.invalidArgument')
  })
})

describe('a signature', () => {
  beforeEach(async () => {
    await json('predict', '--pcrs', '7', '--label', 'x', '--out', at('x.json'))
  })
  const sign = async (key: string, ...rest: readonly string[]) =>
    (await sealctl('sign', at('x.json'), '--key', at(key), '--out', at('signed.json'), ...rest)).code

  it('is given with a key that has a passphrase, which comes from a file or a terminal', async () => {
    const encrypted = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open sesame' } as const
    await writePrivate('locked.pem', operator.privateKey.export(encrypted))
    await writePrivate('right', 'open sesame\n')
    await writePrivate('wrong', 'open barley\n')
    expect(await sign('locked.pem')).toBe('TPM_COMMAND_KEY_UNUSABLE')
    expect(await sign('locked.pem', '--passphrase-file', at('wrong'))).toBe('TPM_COMMAND_KEY_UNUSABLE')
    expect(await sign('locked.pem', '--passphrase-file', at('right'))).toBeUndefined()
    expect(await json('add', at('signed.json'))).toMatchObject({ policies: 1 })
    const terminal = (typed: string): InputStream => {
      const keyboard = Object.assign(new PassThrough(), { isTTY: true })
      keyboard.write(typed)
      return keyboard
    }
    const asked = ['sign', at('x.json'), '--key', at('locked.pem'), '--out', at('asked.json')] as const
    expect((await sealctlAt(terminal('open barley\r'), ...asked)).code).toBe('TPM_COMMAND_KEY_UNUSABLE')
    expect((await sealctlAt(terminal('\u0004'), ...asked)).code).toBe('TPM_COMMAND_KEY_UNUSABLE')
    expect((await sealctlAt(terminal('open sesame\r'), ...asked)).code).toBeUndefined()
    expect(await json('add', at('asked.json'))).toMatchObject({ policies: 1 })
  })

  it('is refused with what is no key for it, and where nothing is left to sign', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    await writePrivate('rsa.pem', rsa.export({ type: 'pkcs8', format: 'pem' }))
    expect(await sign('rsa.pem')).toBe('PCR_POLICIES_KEY_REFUSED')
    await writePrivate('public.pem', publicKey)
    expect(await sign('public.pem')).toBe('TPM_COMMAND_KEY_UNUSABLE')
    await writeFile(at('open.pem'), operator.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o644 })
    expect(await sign('open.pem')).toBe('SECRET_FILE_UNSAFE')
    expect(await sign('operator.pem')).toBeUndefined()
    const again = await sealctl('sign', at('signed.json'), '--key', at('operator.pem'), '--out', at('twice.json'))
    expect(again.code).toBe('TPM_COMMAND_NOTHING_TO_SIGN')
  })

  it('by another key is not added', async () => {
    const stranger = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
    await writePrivate('stranger.pem', stranger.export({ type: 'pkcs8', format: 'pem' }))
    await sign('stranger.pem')
    expect((await sealctl('add', at('signed.json'))).code).toBe('POLICIES_NOT_APPROVED')
    expect((await sealctl('add', at('x.json'))).code).toBe('POLICIES_NOT_APPROVED')
  })
})

describe('the events of a boot', () => {
  it('are shown with what they add up to, beside what the TPM has', async () => {
    await boot('firmware 1', 'a \u001b[2J trick')
    const node = ['--config', at('node.yaml'), '--seal', 'tpm']
    const { output } = await sealctl('events', '--event-log', at('log'), ...node)
    expect(output).toContain(`7:0    ${replacement('firmware 1')}  EV_ACTION firmware 1`)
    expect(output).toContain('EV_ACTION a .[2J trick')
    expect(output).toContain('by this log, and so has the TPM')
    await swtpm.powerCycle()
    expect(await json('events', '--event-log', at('log'), '--pcrs', '7,18', ...node)).toMatchObject({
      pcrs: [
        { pcr: 7, isComplete: false, events: [{ what: 'EV_ACTION firmware 1' }, {}] },
        // PCRs of a dynamic launch begin with ones in a real TPM too.
        { pcr: 18, isComplete: true, sha256: 'ff'.repeat(32), events: [] },
      ],
    })
    expect(await json('events', '--event-log', at('log'))).toMatchObject({ pcrs: [{ pcr: 7 }] })
  })
})

describe('the help', () => {
  it.each(['events', 'predict', 'sign', 'add', 'test', 'reseal', 'retire'])(
    'of %s has an example and exit codes',
    async name => {
      const { output, code } = await sealctl(name, '--help')
      expect(code).toBe('commander.helpDisplayed')
      expect(output).toContain(`  sealctl tpm ${name} `)
      expect(output).toContain('Exit codes: 0 done')
    },
  )
})
