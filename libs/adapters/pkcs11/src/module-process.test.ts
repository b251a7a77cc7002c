import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SealMember } from '@sealwright/keyring'
import {
  createSoftHsm,
  findProcesses,
  repositoryRoot,
  type SoftHsmToken,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
  withNodeProgram,
} from '@sealwright/testing-rig'
import { type Pkcs11Access } from './access.ts'
import { accessTo, errorOf, newKek } from './fixtures/access.ts'
import { serving, unrulyModule, type UnrulyModule } from './fixtures/programs.ts'
import { type Pkcs11Identity, readPkcs11Identity } from './identity.ts'
import { pkcs11Module, type Pkcs11Module } from './module.ts'
import { generateAesKey } from './provisioning.ts'
import { pkcs11SealMember } from './seal-member.ts'

const { signal } = new AbortController()
const method = 'pkcs11-aes-gcm'
/** A library like any other. */
const ADDON = join(repositoryRoot(), 'node_modules/pkcs11js/build/Release/pkcs11.node')

/** Long enough to start a process on a busy machine. */
const START_MS = 20_000
/** Long enough for a module that is loaded already. */
const HANG_MS = 300

let folder: TemporaryFolder
let unruly: UnrulyModule
let token: SoftHsmToken
let hsmModule: Pkcs11Module
let expected: Pkcs11Identity
let record: Uint8Array

beforeAll(async () => {
  folder = await temporaryFolder()
  const hsm = await createSoftHsm({ directory: folder.path })
  token = await hsm.addToken('node-1')
  unruly = unrulyModule({ directory: folder.path, behind: hsm.modulePath, environment: hsm.environment })
  hsmModule = moduleOf({})
  await generateAesKey(access(), { label: 'aes', randomBytes }, { signal })
  expected = await readPkcs11Identity(access(), { signal })
  record = await member().sealKek(newKek(), { signal })
  await hsmModule.close()
})

beforeEach(() => {
  unruly.order()
  unruly.forget()
})

afterEach(async () => {
  await hsmModule.close()
})

afterAll(async () => {
  await folder.remove()
})

function moduleOf(changes: Partial<Parameters<typeof pkcs11Module>[0]>): Pkcs11Module {
  return pkcs11Module({ modulePath: unruly.modulePath, spawn: serving(unruly.environment), ...changes })
}

function access(changes: Partial<Pkcs11Access> = {}): Pkcs11Access {
  return accessTo(hsmModule, token, changes)
}

function member(changes: Partial<Pkcs11Access> = {}): SealMember {
  return pkcs11SealMember({ ...access(changes), expected })
}

async function open(changes: Partial<Pkcs11Access> = {}): Promise<void> {
  ;(await member(changes).unsealKek(record, { signal, method })).wipe()
}

/** The processes that our module runs in. */
function processes(): readonly number[] {
  return findProcesses(({ environment }) =>
    environment().includes(`SOFTHSM2_CONF=${folder.join('softhsm2.conf')}`),
  ).map(({ pid }) => pid)
}

const FUNCTIONS = [
  'C_GetSlotList',
  'C_GetTokenInfo',
  'C_OpenSession',
  'C_Login',
  'C_FindObjectsInit',
  'C_DecryptInit',
  'C_Decrypt',
]

describe('a module that hangs', () => {
  it.each(FUNCTIONS)('in %s is killed at the deadline, and opens once it no longer hangs', async functionName => {
    // The process is up, so that the deadline is all about the module; another token's login would be in the way.
    await hsmModule.ready({ ...never(), timeoutMs: START_MS })
    unruly.order(`hang ${functionName}`)
    expect(await errorOf(open({ timeoutMs: HANG_MS }))).toMatchObject({ code: 'PKCS11_TIMEOUT', kind: 'transient' })
    await waitUntil(() => processes().length === 0, { what: 'the end of the process', timeoutMs: 5_000 })
    unruly.order()
    await open()
  })

  it('in C_Initialize is killed at the deadline', async () => {
    unruly.order('hang C_Initialize')
    expect(await errorOf(open({ timeoutMs: HANG_MS }))).toMatchObject({ code: 'PKCS11_TIMEOUT' })
    unruly.order()
    await open()
  })

  it('takes the calls beside it along, which may be tried again', async () => {
    await open()
    unruly.order('hang C_Decrypt')
    const first = errorOf(open({ timeoutMs: HANG_MS }))
    const second = errorOf(open({ timeoutMs: 10 * HANG_MS }))
    expect((await first).code).toBe('PKCS11_TIMEOUT')
    expect(await second).toMatchObject({ code: 'PKCS11_CRASHED', kind: 'transient' })
    unruly.order()
    await open()
  })

  it('does not hold up whoever stops waiting, which is not a timeout', async () => {
    await open()
    unruly.order('hang C_Decrypt')
    const controller = new AbortController()
    const opening = errorOf(member().unsealKek(record, { signal: controller.signal, method }))
    await waitUntil(() => unruly.callsOf('C_Decrypt') === 2, { what: 'the call', timeoutMs: 5_000 })
    controller.abort()
    expect((await opening).code).toBe('PKCS11_CANCELLED')
  })

  it('and is slow, but within the deadline, opens', async () => {
    unruly.order('slow C_Decrypt 200')
    await open()
  })
})

describe('a module that crashes', () => {
  it.each(FUNCTIONS)('in %s is told so, and opens once it no longer crashes', async functionName => {
    unruly.order(`crash ${functionName}`)
    expect(await errorOf(open())).toMatchObject({
      code: 'PKCS11_CRASHED',
      kind: 'transient',
      message: expect.stringContaining('SIGSEGV') as string,
    })
    unruly.order()
    await open()
  })

  it('leaves no core file that could hold a key: the limit of the process is 0', async () => {
    await open()
    const [pid = 0] = processes()
    expect(await readFile(`/proc/${pid}/limits`, 'utf8')).toMatch(/Max core file size +0 +0 /)
  })
})

describe('the process of a module', () => {
  it('is started when it is needed, serves many calls with one login, and is ended by close', async () => {
    expect(processes()).toHaveLength(0)
    await Promise.all([open(), open(), open()])
    await open()
    expect(processes()).toHaveLength(1)
    expect(unruly.callsOf('C_Login')).toBe(1)
    expect(unruly.callsOf('C_Initialize')).toBe(1)
    await hsmModule.close()
    expect(processes()).toHaveLength(0)
  })

  it('is started by preparing, which logs in nowhere, and serves the first call', async () => {
    hsmModule.prepare(START_MS)
    await waitUntil(() => unruly.callsOf('C_Initialize') === 1, {
      what: 'the module to be loaded',
      timeoutMs: START_MS,
    })
    expect(unruly.callsOf('C_Login')).toBe(0)
    await open()
    expect(unruly.callsOf('C_Initialize')).toBe(1)
    expect(unruly.callsOf('C_Login')).toBe(1)
  })

  it('is killed when preparing hangs, and started anew by the first call', async () => {
    unruly.order('hang C_Initialize')
    hsmModule.prepare(HANG_MS)
    expect(processes()).toHaveLength(1)
    await waitUntil(() => processes().length === 0, { what: 'the end of the process', timeoutMs: 5_000 })
    unruly.order()
    await open()
  })

  it('is ended when nobody has asked for anything for a while, and started again', async () => {
    await using shortLived = moduleOf({ idleTimeoutMs: 50 })
    await open({ module: shortLived })
    await waitUntil(() => processes().length === 0, { what: 'the end of the process', timeoutMs: 5_000 })
    await open({ module: shortLived })
  })

  it('is started anew when somebody has killed it', async () => {
    await open()
    const [pid = 0] = processes()
    process.kill(pid, 'SIGKILL')
    // It may take us a moment to hear of it; until then a call is told that it crashed.
    const opens = async () =>
      await open().then(
        () => true,
        () => false,
      )
    await waitUntil(opens, { what: 'a new process', timeoutMs: START_MS })
  })

  it('gets no environment but what is configured, and no secret in it or in its arguments', async () => {
    await open()
    const [running] = findProcesses(({ pid }) => processes().includes(pid))
    const names = running?.environment().map(entry => entry.split('=')[0])
    expect(names?.toSorted()).toEqual(['PATH', 'SOFTHSM2_CONF', 'UNRULY_LOG', 'UNRULY_MODULE', 'UNRULY_ORDERS'])
    expect([...(running?.environment() ?? []), ...(running?.commandLine ?? [])].join(' ')).not.toContain(token.pin)
    expect(running?.workingDirectory()).toBe('/')
  })

  it('alone has native code in it: who imports this library has none', async () => {
    await open()
    const [pid = 0] = processes()
    expect(await readFile(`/proc/${pid}/maps`, 'utf8')).toContain(ADDON)
    const source = `import ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}; console.log('ready'); process.stdin.resume()`
    const program = { source, args: [], workingDirectory: import.meta.dirname }
    const maps = await withNodeProgram(program, async importer => await readFile(`/proc/${importer.pid}/maps`, 'utf8'))
    expect(maps).not.toContain('pkcs11.node')
  })

  it('does not mind what the module prints', async () => {
    unruly.order('print')
    await open()
  })

  it('serves a call on each of its sessions at a time', async () => {
    await using pooled = moduleOf({ sessionCount: 4 })
    await open({ module: pooled })
    expect(unruly.callsOf('C_OpenSession')).toBe(4)
    unruly.order('hang C_Decrypt')
    const controller = new AbortController()
    const hanging = Array.from({ length: 4 }, () =>
      errorOf(member({ module: pooled }).unsealKek(record, { signal: controller.signal, method })),
    )
    await waitUntil(() => unruly.callsOf('C_Decrypt') === 5, { what: 'four calls at a time', timeoutMs: 5_000 })
    controller.abort()
    for (const ended of hanging) expect((await ended).code).toBe('PKCS11_CANCELLED')
  })

  it.each([
    ['killed while it is idle', []],
    ['killed while the module hangs', ['hang C_Decrypt']],
  ])('ends with its parent, which is %s', async (_how, orders) => {
    unruly.order(...orders)
    const source = `
      import { pkcs11Module, pkcs11SealMember, expectedKeyOf } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
      import { Secret } from '@sealwright/secret'
      import { randomBytes } from 'node:crypto'
      const [modulePath, spawn, pin, record] = process.argv.slice(1)
      const access = { module: pkcs11Module({ modulePath, spawn: JSON.parse(spawn) }), token: { label: 'node-1' },
        key: { label: 'aes' }, mechanism: 'aes-gcm', pin: new Secret(Uint8Array.from(Buffer.from(pin))), timeoutMs: 60_000, randomBytes }
      const bytes = Buffer.from(record, 'hex')
      const member = pkcs11SealMember({ ...access, expected: expectedKeyOf(bytes) })
      await member.unsealKek(bytes, { signal: new AbortController().signal, method: 'pkcs11-aes-gcm' })
      process.stdin.on('data', () => undefined)
    `
    const spawnOption = JSON.stringify(serving(unruly.environment))
    const parent = spawn(
      process.execPath,
      ['--input-type=module', '--eval', source, '--', unruly.modulePath, spawnOption, token.pin, hex(record)],
      { cwd: import.meta.dirname, stdio: ['pipe', 'inherit', 'inherit'] },
    )
    const exited = once(parent, 'exit')
    await waitUntil(() => unruly.callsOf('C_Decrypt') > 0, { what: 'the call', timeoutMs: START_MS })
    expect(processes()).toHaveLength(1)
    parent.kill('SIGKILL')
    await exited
    await waitUntil(() => processes().length === 0, { what: 'the end of the process', timeoutMs: 5_000 })
  })
})

describe('a process that cannot be', () => {
  it.each([
    ['a module that is missing', { modulePath: '/nonexistent.so' }, 'PKCS11_MODULE_UNAVAILABLE'],
    ['a file that is no module', { modulePath: '/etc/passwd' }, 'PKCS11_MODULE_UNAVAILABLE'],
    ['a library that is none of PKCS#11', { modulePath: ADDON }, 'PKCS11_MODULE_UNAVAILABLE'],
    [
      'a program that is missing',
      { spawn: { command: '/nonexistent', args: [], environment: {} } },
      'PKCS11_PROCESS_UNAVAILABLE',
    ],
    [
      'a program that talks nonsense',
      { spawn: { command: '/bin/sh', args: ['-c', 'printf nonsense >&3; cat <&3'], environment: {} } },
      'PKCS11_PROTOCOL',
    ],
    [
      'a program that does something else',
      { spawn: { command: '/bin/true', args: [], environment: {} } },
      'PKCS11_CRASHED',
    ],
  ] as const)('%s is named', async (_what, changes, code) => {
    await using broken = moduleOf(changes)
    expect((await errorOf(open({ module: broken }))).code).toBe(code)
  })

  it('because the module does not come up is told, and opens once it does', async () => {
    unruly.order('return C_Initialize 0x6')
    expect(await errorOf(open())).toMatchObject({
      code: 'PKCS11_MODULE_NOT_READY',
      kind: 'transient',
      message: expect.stringContaining('C_Initialize failed with CKR_FUNCTION_FAILED') as string,
    })
    unruly.order()
    await open()
  })

  it.each([
    ['a module without an absolute path', { modulePath: 'libsofthsm2.so' }],
    ['no sessions', { sessionCount: 0 }],
    ['too many sessions', { sessionCount: 65 }],
  ])('%s is refused', (_what, changes) => {
    expect(() => moduleOf(changes)).toThrow(expect.objectContaining({ code: 'PKCS11_INVALID_ARGUMENT' }) as Error)
  })

  it('no time at all is refused', async () => {
    for (const timeoutMs of [0, -1, 0.5, Number.NaN]) {
      expect((await errorOf(open({ timeoutMs }))).code).toBe('PKCS11_INVALID_ARGUMENT')
    }
  })
})

describe('what was lost', () => {
  it.each([
    ['a session', 'C_FindObjectsInit', 'CKR_SESSION_HANDLE_INVALID', 0xb3],
    ['the login', 'C_FindObjectsInit', 'CKR_USER_NOT_LOGGED_IN', 0x101],
    ['the token, for a moment', 'C_DecryptInit', 'CKR_DEVICE_REMOVED', 0x32],
    ['the token, for a moment', 'C_Decrypt', 'CKR_TOKEN_NOT_PRESENT', 0xe0],
    ['the key handle', 'C_DecryptInit', 'CKR_KEY_HANDLE_INVALID', 0x60],
  ])('%s: all is opened anew, once (%s: %s)', async (_what, functionName, _name, ckr) => {
    await open()
    unruly.forget()
    unruly.order(`once ${functionName} ${ckr}`)
    await open()
    expect(unruly.callsOf('C_Login')).toBe(1)
  })

  it('a token that stays away is told so after one more try, and opens once it is back', async () => {
    await open()
    unruly.forget()
    unruly.order('return C_DecryptInit 0x32')
    expect(await errorOf(open())).toMatchObject({ code: 'PKCS11_TOKEN_REMOVED', kind: 'transient', ckr: 0x32 })
    expect(unruly.callsOf('C_DecryptInit')).toBe(2)
    unruly.order()
    await open()
  })

  it('a token that was pulled out is not found, and opens once it is back', async () => {
    await open()
    unruly.order('pulled')
    expect(await errorOf(open())).toMatchObject({ code: 'PKCS11_TOKEN_NOT_FOUND', kind: 'transient' })
    unruly.order()
    await open()
  })

  it('an error that nobody knows is passed on, with a fresh process after it', async () => {
    await open()
    const [before] = processes()
    unruly.order('return C_FindObjectsInit 0x80000123')
    expect(await errorOf(open())).toMatchObject({ code: 'PKCS11_CKR', kind: 'transient', ckr: 0x80000123 })
    unruly.order()
    await open()
    expect(processes()).not.toEqual([before])
  })
})

describe('a ciphertext that is refused', () => {
  it('by a token that refuses all is called a broken token, not a changed record', async () => {
    unruly.order('return C_Decrypt 0x5')
    expect(await errorOf(open())).toMatchObject({ code: 'PKCS11_TOKEN_BROKEN', kind: 'transient' })
    unruly.order()
    await open()
  })

  it('leaves a session that works: the next one opens', async () => {
    const changed = Uint8Array.from(record, (byte, index) => (index === record.byteLength - 1 ? byte ^ 1 : byte))
    expect(await errorOf(member().unsealKek(changed, { signal, method }))).toMatchObject({
      code: 'PKCS11_CIPHERTEXT_REFUSED',
      kind: 'permanent',
    })
    await open()
    expect(unruly.callsOf('C_Login')).toBe(1)
  })

  it.each([
    ['C_DecryptInit', 0x68, 'PKCS11_KEY_WRONG_TYPE'],
    ['C_DecryptInit', 0x70, 'PKCS11_MECHANISM_UNSUPPORTED'],
  ])('is not blamed on the record when %s gives %i', async (functionName, ckr, code) => {
    unruly.order(`return ${functionName} ${ckr}`)
    expect(await errorOf(open())).toMatchObject({ code, kind: 'permanent' })
  })
})

describe('an initialisation vector', () => {
  it.each(['own-iv', 'other-iv'])('that the token makes itself is stored (%s)', async order => {
    unruly.order(order)
    const kek = newKek()
    const made = await member().sealKek(kek, { signal })
    unruly.order()
    expect((await member().unsealKek(made, { signal, method })).equals(kek)).toBe(true)
  })

  it('that would be used again and again is refused', async () => {
    unruly.order('zero-iv')
    expect(await errorOf(member().sealKek(newKek(), { signal }))).toMatchObject({
      code: 'PKCS11_MECHANISM_UNSUPPORTED',
    })
  })
})

describe('associated data', () => {
  it('that the token forgets is found out before anything is sealed', async () => {
    unruly.order('no-aad')
    expect(await errorOf(member().sealKek(newKek(), { signal }))).toMatchObject({
      code: 'PKCS11_TOKEN_BROKEN',
      message: expect.stringContaining('other associated data') as string,
    })
  })
})

function never() {
  return { signal, isCancelled: () => false, error: (doing: string) => new Error(doing) as never }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
