import { execFileSync } from 'node:child_process'
import { readdir, readFile, stat } from 'node:fs/promises'
import { createSoftHsm, SEARCH_PATH, type SoftHsm, type TemporaryFolder, temporaryFolder } from './index.ts'

let folder: TemporaryFolder
let hsm: SoftHsm

beforeEach(async () => {
  folder = await temporaryFolder()
  hsm = await createSoftHsm({ directory: folder.join('hsm') })
})

afterEach(async () => {
  await folder.remove()
})

/** What SoftHSM's own tool sees in this environment. */
function showSlots(environment: Readonly<Record<string, string>>): string {
  return execFileSync('softhsm2-util', ['--show-slots'], { env: { PATH: SEARCH_PATH, ...environment } }).toString()
}

describe('createSoftHsm', () => {
  it('makes tokens that are seen in its environment', async () => {
    await hsm.addToken('first')
    await hsm.addToken('second')
    const slots = showSlots(hsm.environment)
    expect(slots).toMatch(/Label: +first/)
    expect(slots).toMatch(/Label: +second/)
    expect(await readdir(hsm.tokenDirectory)).toHaveLength(2)
  })

  it('keeps apart from another one', async () => {
    await hsm.addToken('first')
    const other = await createSoftHsm({ directory: folder.join('other') })
    expect(showSlots(other.environment)).not.toMatch(/Label: +first/)
  })

  it('writes the PIN of the user into a file that nobody else may read', async () => {
    const token = await hsm.addToken('first')
    expect(await readFile(token.pinFile, 'utf8')).toBe(token.pin)
    expect(token.pin).toMatch(/^\d{8}$/)
    expect((await stat(token.pinFile)).mode & 0o777).toBe(0o600)
    expect((await hsm.addToken('second')).pin).not.toBe(token.pin)
  })

  it('puts a key onto a token, and leaves no copy of it', async () => {
    const token = await hsm.addToken('first')
    await hsm.importAesKey(token, { bytes: Buffer.alloc(32, 0xa5), id: Uint8Array.of(1), label: 'kek' })
    const [tokenFolder = ''] = await readdir(hsm.tokenDirectory)
    const objects = (await readdir(`${hsm.tokenDirectory}/${tokenFolder}`)).filter(name =>
      /^[0-9a-f-]+\.object$/.test(name),
    )
    expect(objects).toHaveLength(1)
    expect(await readdir(folder.join('hsm'))).not.toContain('imported-key')
    for (const end of [0, 0x0a]) {
      const cut = hsm.importAesKey(token, { bytes: Buffer.of(1, end, 1), id: Uint8Array.of(2), label: 'cut' })
      await expect(cut).rejects.toMatchObject({ code: 'RIG_INVALID' })
    }
  })
})
