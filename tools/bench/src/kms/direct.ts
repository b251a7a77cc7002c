import { readFile } from 'node:fs/promises'
import { KMS_KEY, type TransitOpenBao } from '@sealwright/testing-kms'
import { Pool } from 'undici'

/** As many as our own client has. */
const CONNECTIONS = 8
const SEED = Buffer.alloc(32, 7).toString('base64')
/** Our own calls have associated data of about this length. */
const ASSOCIATED_DATA = Buffer.alloc(140, 7).toString('base64')

/** The peer: single HTTP calls to the same key, with the same token, by the HTTP client that the plugin has. */
export interface DirectCalls extends AsyncDisposable {
  /** Calls per second. */
  readonly rate: (operation: 'encrypt' | 'decrypt', callers: number, seconds: number) => Promise<number>
  /** How long so many decryptions take, in milliseconds. */
  readonly decryptMs: (calls: number, callers: number) => Promise<number>
}

/** Opens the pool. Every answer that is no success throws. */
export async function directCalls(bao: TransitOpenBao): Promise<DirectCalls> {
  const pool = new Pool(bao.node.apiAddress, { connections: CONNECTIONS })
  const headers = { 'X-Vault-Token': await readFile(bao.tokenFile, 'utf8'), 'Content-Type': 'application/json' }
  const call = async (operation: 'encrypt' | 'decrypt', body: string): Promise<string> => {
    const answer = await pool.request({ method: 'POST', path: `/v1/transit/${operation}/${KMS_KEY}`, headers, body })
    const text = await answer.body.text()
    if (answer.statusCode !== 200) throw new Error(`${operation}: ${answer.statusCode} ${text}`)
    return text
  }
  const encryptBody = JSON.stringify({ plaintext: SEED, associated_data: ASSOCIATED_DATA })
  const { ciphertext } = (JSON.parse(await call('encrypt', encryptBody)) as { data: { ciphertext: string } }).data
  const bodies = { encrypt: encryptBody, decrypt: JSON.stringify({ ciphertext, associated_data: ASSOCIATED_DATA }) }

  const many = async (callers: number, one: () => Promise<unknown>, goesOn: () => boolean): Promise<void> => {
    await Promise.all(
      Array.from({ length: callers }, async () => {
        while (goesOn()) await one()
      }),
    )
  }

  return {
    rate: async (operation, callers, seconds) => {
      const startedAtMs = performance.now()
      let calls = 0
      await many(
        callers,
        async () => {
          await call(operation, bodies[operation])
          calls += 1
        },
        () => performance.now() < startedAtMs + seconds * 1_000,
      )
      return calls / ((performance.now() - startedAtMs) / 1_000)
    },
    decryptMs: async (calls, callers) => {
      const startedAtMs = performance.now()
      let left = calls
      await many(
        callers,
        async () => await call('decrypt', bodies.decrypt),
        () => {
          left -= 1
          return left >= 0
        },
      )
      return performance.now() - startedAtMs
    },
    [Symbol.asyncDispose]: async () => {
      await pool.close()
    },
  }
}
