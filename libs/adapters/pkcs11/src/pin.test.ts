import { randomBytes } from 'node:crypto'
import { Secret } from '@sealwright/secret'
import { createSoftHsm, type SoftHsm, temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { type Pkcs11Access } from './access.ts'
import { accessTo, errorOf, secretOf } from './fixtures/access.ts'
import { resetPin } from './fixtures/operator.ts'
import { serving, unrulyModule, type UnrulyModule } from './fixtures/programs.ts'
import { type Pkcs11ErrorCode } from './errors.ts'
import { pkcs11Module, type Pkcs11Module } from './module.ts'
import { CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED } from './pin-memory.ts'
import { generateAesKey, listPkcs11Keys } from './provisioning.ts'

const { signal } = new AbortController()

let folder: TemporaryFolder
let hsm: SoftHsm
let unruly: UnrulyModule
let hsmModule: Pkcs11Module
let token: Awaited<ReturnType<SoftHsm['addToken']>>
let tokenCount = 0

beforeAll(async () => {
  folder = await temporaryFolder()
  hsm = await createSoftHsm({ directory: folder.path })
  unruly = unrulyModule({ directory: folder.path, behind: hsm.modulePath, environment: hsm.environment })
  hsmModule = pkcs11Module({ modulePath: unruly.modulePath, spawn: serving(unruly.environment) })
})

// What is remembered of PINs is remembered for a token: each test has one of its own.
beforeEach(async () => {
  unruly.order()
  tokenCount += 1
  token = await hsm.addToken(`node-${tokenCount}`)
  unruly.forget()
})

afterEach(async () => {
  await hsmModule.close()
})

afterAll(async () => {
  await folder.remove()
})

function access(changes: Partial<Pkcs11Access> = {}): Pkcs11Access {
  return accessTo(hsmModule, token, changes)
}

/** Something for which one must be logged in. */
async function use(changes: Partial<Pkcs11Access> = {}): Promise<void> {
  await listPkcs11Keys(access(changes), { signal })
}

async function failure(changes: Partial<Pkcs11Access> = {}): Promise<Pkcs11ErrorCode> {
  return (await errorOf(use(changes))).code
}

const logins = (): number => unruly.callsOf('C_Login')
const flags = (value: number): string => `flags 0x${value.toString(16)}`

describe('a wrong PIN', () => {
  it('reaches the token once, however often it is tried, and a right one still works', async () => {
    const pin = secretOf('99999999')
    expect(await errorOf(use({ pin }))).toMatchObject({ code: 'PKCS11_PIN_WRONG', kind: 'operator', ckr: 0xa0 })
    for (let round = 0; round < 3; round += 1) {
      expect(await errorOf(use({ pin }))).toMatchObject({
        code: 'PKCS11_PIN_WRONG',
        message: expect.stringContaining('not sent again') as string,
      })
    }
    expect(logins()).toBe(1)
    await use()
    expect(logins()).toBe(2)
  })

  it('reaches it once when many come together, and when the process is made anew', async () => {
    const pin = secretOf('99999999')
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => failure({ pin })))
    expect(new Set(outcomes)).toEqual(new Set(['PKCS11_PIN_WRONG']))
    await hsmModule.close()
    expect(await failure({ pin })).toBe('PKCS11_PIN_WRONG')
    expect(logins()).toBe(1)
  })

  it('is sent again once the token shows that it does not count it any more', async () => {
    const pin = secretOf('99999999')
    expect(await failure({ pin })).toBe('PKCS11_PIN_WRONG')
    resetPin({ ...hsm, token }, '99999999')
    await hsmModule.close()
    await use({ pin })
  })

  it('is not sent when the token has one try left, whoever used up the others', async () => {
    unruly.order(flags(CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW))
    expect(await errorOf(use())).toMatchObject({ code: 'PKCS11_PIN_HELD_BACK', kind: 'permanent' })
    expect(logins()).toBe(0)
    unruly.order()
    await use()
  })

  it('that was counted by the token once keeps nobody from trying another one', async () => {
    unruly.order(flags(CKF_USER_PIN_COUNT_LOW))
    await use()
  })
})

describe('a PIN', () => {
  it('that is locked is not sent', async () => {
    unruly.order(flags(CKF_USER_PIN_LOCKED))
    expect(await errorOf(use())).toMatchObject({ code: 'PKCS11_PIN_LOCKED', kind: 'operator' })
    expect(logins()).toBe(0)
  })

  it.each([
    ['CKR_PIN_LOCKED', 0xa4, 'PKCS11_PIN_LOCKED'],
    ['CKR_PIN_LEN_RANGE', 0xa2, 'PKCS11_PIN_INVALID'],
    ['CKR_PIN_EXPIRED', 0xa3, 'PKCS11_PIN_INVALID'],
    ['CKR_USER_PIN_NOT_INITIALIZED', 0x102, 'PKCS11_PIN_INVALID'],
  ])('that the token answers with %s waits for an operator', async (_name, ckr, code) => {
    unruly.order(`return C_Login ${ckr}`)
    expect(await errorOf(use())).toMatchObject({
      code,
      kind: 'operator',
      ckr: code === 'PKCS11_PIN_LOCKED' ? undefined : ckr,
    })
  })

  it('that is none is asked for, without a try', async () => {
    const without = { module: hsmModule, token: { label: token.label }, timeoutMs: 20_000 }
    expect(await errorOf(listPkcs11Keys(without, { signal }))).toMatchObject({
      code: 'PKCS11_PIN_REQUIRED',
      kind: 'operator',
    })
    expect(logins()).toBe(0)
  })

  it('that is no text is not sent', async () => {
    expect(await failure({ pin: new Secret(Uint8Array.of(0xff, 0xfe)) })).toBe('PKCS11_PIN_INVALID')
    expect(logins()).toBe(0)
  })

  it('that others have logged in with already is as good', async () => {
    unruly.order('return C_Login 0x100')
    await use()
  })

  it('may hold any character', async () => {
    resetPin({ ...hsm, token }, 'pässword ✓')
    await use({ pin: secretOf('pässword ✓') })
  })

  it('stays with its owner, who wipes it at once', async () => {
    await generateAesKey(access(), { label: 'aes', randomBytes }, { signal })
    await hsmModule.close()
    unruly.forget()
    const pin = secretOf(token.pin)
    const using = use({ pin })
    await waitUntil(() => logins() > 0, { what: 'the login', timeoutMs: 20_000 })
    pin.wipe()
    await using
  })
})

describe('a PIN that was sent without an answer', () => {
  it('is sent twice, then waits for an operator, who gets one more try', async () => {
    unruly.order('crash C_Login')
    expect(await failure()).toBe('PKCS11_CRASHED')
    expect(await failure()).toBe('PKCS11_CRASHED')
    expect(await errorOf(use())).toMatchObject({ code: 'PKCS11_PIN_UNKNOWN', kind: 'operator' })
    expect(logins()).toBe(2)
    // As after SIGHUP.
    expect(await failure()).toBe('PKCS11_CRASHED')
    expect(await failure()).toBe('PKCS11_PIN_UNKNOWN')
    expect(logins()).toBe(3)
    unruly.order()
    await use()
  })

  it('is not sent again when the token shows that it has counted a wrong one', async () => {
    unruly.order('return C_Login 0x5')
    expect(await failure()).toBe('PKCS11_CKR')
    unruly.order(flags(CKF_USER_PIN_COUNT_LOW))
    expect(await failure()).toBe('PKCS11_PIN_UNKNOWN')
    expect(logins()).toBe(1)
  })

  it('and was right before is sent as often as it takes: no token counts it', async () => {
    await use()
    await hsmModule.close()
    unruly.order('crash C_Login')
    for (let round = 0; round < 4; round += 1) expect(await failure()).toBe('PKCS11_CRASHED')
    unruly.order()
    await use()
  })

  it('because the caller stopped waiting is answered after all, and the answer counts', async () => {
    unruly.order('slow C_Login 300')
    const controller = new AbortController()
    const pin = secretOf('99999999')
    const cancelled = errorOf(listPkcs11Keys(access({ pin }), { signal: controller.signal }))
    await waitUntil(() => logins() > 0, { what: 'the login', timeoutMs: 20_000 })
    controller.abort()
    expect((await cancelled).code).toBe('PKCS11_CANCELLED')
    expect(await failure({ pin })).toBe('PKCS11_PIN_WRONG')
    expect(await failure({ pin })).toBe('PKCS11_PIN_WRONG')
    expect(logins()).toBe(1)
  })
})
