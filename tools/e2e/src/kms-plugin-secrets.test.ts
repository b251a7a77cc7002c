import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import {
  createPluginNode,
  KmsCallError,
  kmsClient,
  startTransitOpenBao,
  type TransitOpenBao,
} from '@sealwright/testing-kms'
import { searchFor } from './secret-search.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()

const SEED_BYTES = 32
/** Within what the backend made: a refusal of OpenBao's, not of ours. */
const OFFSET_OF_A_CHANGE = 60

interface Credential {
  readonly auth: Readonly<Record<string, unknown>>
  /** What the plugin reads to log in. */
  readonly secret: string
}

const credentials: readonly (readonly [string, (bao: TransitOpenBao) => Promise<Credential>])[] = [
  ['a token', async bao => ({ auth: { method: 'token', tokenFile: bao.tokenFile }, secret: await bao.writeToken() })],
  ['an approle', anApprole],
]

it.each(credentials)(
  'keeps what it logs in by (%s) and what it encrypts out of log, files, metrics, refusals, arguments and environment',
  async (_, give) => {
    const bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
    const { auth, secret } = await give(bao)
    const plugin = scope.use(
      await createPluginNode({
        ...{ directory: scope.folder.join('node'), name: 'kms-plugin', backend: bao.backend({ auth }) },
      }),
    )
    await plugin.start()
    await plugin.waitUntilReady()
    const client = kmsClient(plugin.socketPath)
    scope.afterwards(() => {
      client.close()
    })
    const said: string[] = []
    const hear = async (call: Promise<unknown>): Promise<void> => {
      const answer = await call.catch((error: unknown) => error)
      if (!(answer instanceof KmsCallError)) throw new Error('it was to be refused', { cause: answer })
      said.push(answer.message)
    }

    // All that it may have something to say of: what is right, what is malformed, what OpenBao refuses, an OpenBao that is no use.
    const seed = randomBytes(SEED_BYTES)
    const encrypted = await client.encrypt(seed)
    await client.decrypt(encrypted)
    const changed = Uint8Array.from(encrypted.ciphertext)
    changed[OFFSET_OF_A_CHANGE] = (changed[OFFSET_OF_A_CHANGE] ?? 0) ^ 1
    await hear(client.decrypt({ ...encrypted, ciphertext: changed }))
    await hear(client.decrypt({ ...encrypted, ciphertext: seed }))
    await hear(client.decrypt({ ...encrypted, annotations: { 'seed.example': seed } }))
    await hear(client.encrypt(Buffer.concat(Array.from({ length: 64 }, () => seed))))
    await bao.administer({ method: 'PUT', path: 'sys/seal' })
    await hear(client.encrypt(seed))
    await hear(client.decrypt(encrypted))
    const answers = [(await plugin.ask('/metrics')).text, (await plugin.ask('/readyz')).text, ...said]
    const tables = [seed, Buffer.from(secret)].map(each => searchFor(each).processTable())
    await plugin.stop()

    for (const [index, needle] of [seed, Buffer.from(secret)].entries()) {
      const search = searchFor(needle)
      // One that finds nothing anywhere proves nothing.
      expect(search.bytes('itself', Buffer.from(needle))).not.toEqual([])
      expect(tables[index]).toEqual([])
      expect(answers.flatMap(text => search.bytes(text, Buffer.from(text)))).toEqual([])
      expect(search.files(scope.folder.join('node'))).toEqual([])
    }
    expect(await readFile(plugin.process().logPath, 'utf8')).toContain('KMS_BACKEND_UNAVAILABLE')
  },
)

async function anApprole(bao: TransitOpenBao): Promise<Credential> {
  const post = async (path: string, body: object = {}): Promise<Readonly<Record<string, string>>> => {
    const answer = await bao.administer({ method: 'POST', path, body })
    return (answer.body as { readonly data?: Readonly<Record<string, string>> } | undefined)?.data ?? {}
  }
  await post('sys/auth/approle', { type: 'approle' })
  await post('auth/approle/role/kms', { token_policies: ['kms'], token_no_default_policy: true, role_id: 'kms-plugin' })
  const { secret_id: secret = '' } = await post('auth/approle/role/kms/secret-id')
  const [roleIdFile, secretIdFile] = [scope.folder.join('role-id'), scope.folder.join('secret-id')]
  await writeFile(roleIdFile, 'kms-plugin', { mode: 0o600 })
  await writeFile(secretIdFile, secret, { mode: 0o600 })
  return { auth: { method: 'approle', roleIdFile, secretIdFile }, secret }
}
