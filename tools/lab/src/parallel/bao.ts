import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Secret } from '@sealwright/secret'
import { openBaoPath } from '@sealwright/testing-rig'

const TIMEOUT_MS = 60_000

/** Runs OpenBao's own command line, as an operator does. */
export async function bao(
  server: { readonly address: string; readonly caPath?: string; readonly token: Secret | string },
  args: readonly string[],
): Promise<void> {
  const { address, caPath, token } = server
  const env = {
    BAO_ADDR: address,
    BAO_TOKEN: typeof token === 'string' ? token : token.reveal(bytes => Buffer.from(bytes).toString()),
    HOME: '/nonexistent',
    ...(caPath === undefined ? {} : { BAO_CACERT: caPath }),
  }
  await promisify(execFile)(openBaoPath(), args, { env, timeout: TIMEOUT_MS })
}
