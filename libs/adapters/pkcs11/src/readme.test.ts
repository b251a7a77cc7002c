import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readReadmeExamples } from '@sealwright/testing-checks'
import { type Secret } from '@sealwright/secret'
import { createSoftHsm, temporaryFolder } from '@sealwright/testing-rig'
import { newKek, secretOf } from './fixtures/access.ts'
import { expectedKeyOf, generateAesKey, pkcs11Module, pkcs11SealMember, readPkcs11Identity } from './index.ts'

const entryFile = join(import.meta.dirname, 'fixtures/serve.ts')

async function example(
  modulePath: string,
  environment: Readonly<Record<string, string>>,
  pin: Secret,
  kek: Secret,
): Promise<Secret> {
  const { signal } = new AbortController()
  // README
  const hsm = pkcs11Module({ modulePath, spawn: { command: process.execPath, args: [entryFile], environment } })
  const access = {
    module: hsm,
    token: { label: 'node-1' },
    key: { label: 'kek' },
    mechanism: 'aes-gcm',
    pin,
    timeoutMs: 10_000,
    randomBytes,
  } as const
  await generateAesKey(access, { label: 'kek', randomBytes }, { signal })
  const expected = await readPkcs11Identity(access, { signal }) // once, at enrolment
  const member = pkcs11SealMember({ ...access, expected })
  const record = await member.sealKek(kek, { signal })

  // later, with the token perhaps not there yet
  const again = pkcs11SealMember({ ...access, expected: expectedKeyOf(record) })
  const opened = await again.unsealKek(record, { signal, method: again.method })
  // end
  await hsm.close()
  return opened
}

describe('the example in the README', () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')

  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(own).toHaveLength(1)
    expect(shown).toContain(own[0])
  })

  it('shows the whole program of the process', () => {
    const [, shown] = /```ts\n(const channel.*?)```/s.exec(readme) ?? []
    expect(readFileSync(entryFile, 'utf8')).toContain(shown)
  })

  it('works', async () => {
    await using folder = await temporaryFolder()
    const hsm = await createSoftHsm({ directory: folder.path })
    const token = await hsm.addToken('node-1')
    const kek = newKek()
    expect((await example(hsm.modulePath, hsm.environment, secretOf(token.pin), kek)).equals(kek)).toBe(true)
  })
})
