import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Secret } from '@sealwright/secret'
import {
  countInMemory,
  createSoftHsm,
  processTree,
  type SoftHsm,
  type SoftHsmToken,
  temporaryFolder,
  type TemporaryFolder,
  withNodeProgram,
} from '@sealwright/testing-rig'
import { type Pkcs11Access } from './access.ts'
import { serving } from './fixtures/programs.ts'
import { readPkcs11Identity } from './identity.ts'
import { pkcs11Module } from './module.ts'
import { generateAesKey } from './provisioning.ts'
import { pkcs11SealMember } from './seal-member.ts'

const { signal } = new AbortController()

/** Often enough that the garbage collector moves what lies on the JavaScript heap. */
const PROBES = 20

let folder: TemporaryFolder
let hsm: SoftHsm
let token: SoftHsmToken
let kek: Buffer
let record: Uint8Array

beforeAll(async () => {
  folder = await temporaryFolder()
  hsm = await createSoftHsm({ directory: folder.path })
  token = await hsm.addToken('node-1')
  await using softHsm = pkcs11Module({ modulePath: hsm.modulePath, spawn: serving(hsm.environment) })
  const access: Pkcs11Access = {
    module: softHsm,
    token: { label: token.label },
    key: { label: 'kek' },
    pin: new Secret(Uint8Array.from(Buffer.from(token.pin))),
    mechanism: 'aes-gcm',
    timeoutMs: 20_000,
    randomBytes,
  }
  await generateAesKey(access, { label: 'kek', randomBytes }, { signal })
  const member = pkcs11SealMember({ ...access, expected: await readPkcs11Identity(access, { signal }) })
  kek = randomBytes(32)
  record = await member.sealKek(new Secret(Uint8Array.from(kek)), { signal })
})

afterAll(async () => {
  await folder.remove()
})

/** Opens a record again and again in a Node of its own, says when it is done, and stays until its input ends. */
const source = `
  import { readFileSync } from 'node:fs'
  import { randomBytes } from 'node:crypto'
  import { Secret } from '@sealwright/secret'
  import { expectedKeyOf, pkcs11Module, pkcs11SealMember } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}

  const [modulePath, spawn, pinFile, recordHex, mode] = process.argv.slice(1)
  const module = pkcs11Module({ modulePath, spawn: JSON.parse(spawn) })
  const record = Buffer.from(recordHex, 'hex')
  const { signal } = new AbortController()
  const kept = []
  for (let probe = 0; probe < ${PROBES}; probe++) {
    const pin = new Secret(Uint8Array.from(readFileSync(pinFile)))
    const member = pkcs11SealMember({
      module, token: { label: 'node-1' }, key: { label: 'kek' }, mechanism: 'aes-gcm', timeoutMs: 20_000, randomBytes, pin,
      expected: expectedKeyOf(record),
    })
    const kek = await member.unsealKek(record, { signal, method: 'pkcs11-aes-gcm' })
    if (mode === 'keep') kept.push(kek)
    else kek.wipe()
    pin.wipe()
  }
  console.log('done')
  process.stdin.on('data', () => kept).on('end', () => process.exit())
`

describe('the memory after a key was opened again and again', () => {
  it('does not hold it, neither here nor in the process of the module', async () => {
    expect(await countAfterOpening('wipe')).toEqual({ here: 0, inTheModule: 0 })
  })

  it('would show it: a key that is kept is found', async () => {
    expect((await countAfterOpening('keep')).here).toBeGreaterThanOrEqual(PROBES)
  })
})

async function countAfterOpening(mode: 'keep' | 'wipe'): Promise<{ here: number; inTheModule: number }> {
  const args = [
    hsm.modulePath,
    JSON.stringify(serving(hsm.environment)),
    token.pinFile,
    Buffer.from(record).toString('hex'),
    mode,
  ]
  return await withNodeProgram({ source, args, workingDirectory: import.meta.dirname }, ({ pid, line }) => {
    expect(line).toBe('done')
    const [child] = processTree(pid).filter(process => process.pid !== pid)
    if (child === undefined) throw new Error('the module has no process')
    return { here: countInMemory(pid, [kek])[0] ?? -1, inTheModule: countInMemory(child.pid, [kek])[0] ?? -1 }
  })
}
