import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createSoftHsm, repositoryRoot, type SoftHsmToken } from '@sealwright/testing-rig'
import { type TestScope } from './test-scope.ts'

/** A token of SoftHSM with an AES key, behind a module that does as it is told; see `unruly-module.c` of `libs/adapters/pkcs11`. */
export interface TestHsm {
  readonly token: SoftHsmToken
  /** A seal of this token, for a node's configuration. */
  seal(fields?: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>
  /** Pulls the token out, or puts it back. */
  setPresent(isPresent: boolean): Promise<void>
  /** From now on the PIN file has this. */
  writePin(pin: string): Promise<void>
  /** Orders for the module, one a line, in the place of earlier ones; none: it passes everything on. */
  order(...orders: readonly string[]): Promise<void>
  /** How often a PIN was sent to the token so far. */
  logins(): number
  /** Destroys the key on the token, as somebody with its PIN can. */
  deleteKey(): Promise<void>
}

const FIXTURES = 'libs/adapters/pkcs11/src/fixtures'
const HEADERS = 'node_modules/pkcs11js/includes'
const KEY_BYTES = 32
const HIGH_BIT = 0x80
/** Name of the key on the token (CKA_LABEL). */
const HSM_KEY = 'sealwright'

export async function createTestHsm(scope: TestScope): Promise<TestHsm> {
  const hsm = await createSoftHsm({ directory: scope.folder.join('hsm') })
  const token = await hsm.addToken('sealwright')
  // softhsm2-util takes a key to end at a zero, and at a line feed.
  const bytes = randomBytes(KEY_BYTES).map(byte => byte | HIGH_BIT)
  await hsm.importAesKey(token, { bytes, id: Buffer.from('01', 'hex'), label: HSM_KEY })
  const paths = { module: scope.folder.join('unruly.so'), orders: scope.folder.join('orders') }
  const logPath = scope.folder.join('calls')
  await compile(paths.module)
  await writeFile(paths.orders, '')
  await writeFile(logPath, '')
  const order: TestHsm['order'] = (...orders) => writeFile(paths.orders, orders.map(line => `${line}\n`).join(''))
  return {
    token,
    seal: fields => ({
      ...{ name: 'hsm', type: 'pkcs11', priority: 2, module: paths.module, token: { label: token.label } },
      ...{ key: { label: HSM_KEY }, pinFile: token.pinFile },
      environment: {
        ...hsm.environment,
        ...{ UNRULY_MODULE: hsm.modulePath, UNRULY_ORDERS: paths.orders, UNRULY_LOG: logPath },
      },
      ...fields,
    }),
    setPresent: isPresent => order(...(isPresent ? [] : ['pulled'])),
    writePin: pin => writeFile(token.pinFile, pin),
    order,
    logins: () =>
      readFileSync(logPath, 'utf8')
        .split('\n')
        .filter(line => line === 'C_Login').length,
    async deleteKey() {
      await promisify(execFile)(process.execPath, ['--input-type=commonjs', '--eval', DELETE_KEY], {
        cwd: repositoryRoot(),
        env: { ...hsm.environment, HSM_MODULE: hsm.modulePath, HSM_LABEL: token.label, HSM_PIN: token.pin, HSM_KEY },
      })
    },
  }
}

/** A program of its own: the module keeps what it knows of a token for as long as its process lives. */
const DELETE_KEY = `
  const pkcs11 = require('pkcs11js')
  const { HSM_MODULE, HSM_LABEL, HSM_PIN, HSM_KEY } = process.env
  const module = new pkcs11.PKCS11(HSM_MODULE)
  module.C_Initialize()
  const slot = module.C_GetSlotList(true).find(each => module.C_GetTokenInfo(each).label.trimEnd() === HSM_LABEL)
  const session = module.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
  module.C_Login(session, pkcs11.CKU_USER, HSM_PIN)
  module.C_FindObjectsInit(session, [{ type: pkcs11.CKA_LABEL, value: HSM_KEY }])
  const keys = module.C_FindObjects(session, 2)
  module.C_FindObjectsFinal(session)
  if (keys.length !== 1) throw new Error('there are ' + keys.length + ' keys')
  module.C_DestroyObject(session, keys[0])
  module.C_Finalize()
`

async function compile(path: string): Promise<void> {
  const [headers, source] = [HEADERS, `${FIXTURES}/unruly-module.c`].map(place => join(repositoryRoot(), place))
  if (headers === undefined || source === undefined) throw new TypeError('two places give two paths')
  await promisify(execFile)('gcc', ['-shared', '-fPIC', `-I${headers}`, '-o', path, source, '-ldl'])
}
