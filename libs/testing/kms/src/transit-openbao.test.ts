import { readFile } from 'node:fs/promises'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { KMS_KEY, startTransitOpenBao, type TransitOpenBao } from './index.ts'

let folder: TemporaryFolder
let bao: TransitOpenBao

beforeAll(async () => {
  folder = await temporaryFolder()
  bao = await startTransitOpenBao({ directory: folder.join('bao'), withTls: true })
}, 120_000)

afterAll(async () => {
  await bao[Symbol.asyncDispose]()
  await folder.remove()
})

const plaintext = Buffer.from('a seed').toString('base64')

async function encrypt(): Promise<string> {
  const token = await readFile(bao.tokenFile, 'utf8')
  const path = `transit/encrypt/${KMS_KEY}`
  const { status, body } = await bao.node.request({ method: 'POST', path, token, body: { plaintext } })
  expect(status).toBe(200)
  return (body as { data: { ciphertext: string } }).data.ciphertext
}

describe('startTransitOpenBao', () => {
  it('has a key that its token may use', async () => {
    const token = await readFile(bao.tokenFile, 'utf8')
    const path = `transit/decrypt/${KMS_KEY}`
    const ciphertext = await encrypt()
    const answer = await bao.node.request({ method: 'POST', path, token, body: { ciphertext } })
    expect(answer.body).toMatchObject({ data: { plaintext } })
  })

  it('gives its token nothing more', async () => {
    const token = await readFile(bao.tokenFile, 'utf8')
    for (const path of [`transit/keys/${KMS_KEY}/rotate`, 'auth/token/create']) {
      expect((await bao.node.request({ method: 'POST', path, token, body: {} })).status).toBe(403)
    }
  })

  it('rotates the key, and configures it', async () => {
    expect(await encrypt()).toMatch(/^vault:v1:/)
    await bao.rotate()
    expect(await encrypt()).toMatch(/^vault:v2:/)
    await bao.configure({ min_decryption_version: 2 })
    const { body } = await bao.administer({ path: `transit/keys/${KMS_KEY}` })
    expect(body).toMatchObject({ data: { latest_version: 2, min_decryption_version: 2 } })
  })

  it('says what the server refused', async () => {
    await expect(bao.configure({ min_decryption_version: 9 })).rejects.toThrow('OpenBao answers transit/keys/')
  })
})
