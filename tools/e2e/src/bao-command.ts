import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { openBaoPath, type OpenBaoNode } from '@sealwright/testing-rig'

const TIMEOUT_MS = 60_000

/** Runs OpenBao's own command line against a server, as an operator does. Throws, with what it said, if it fails. */
export async function bao(server: OpenBaoNode, args: readonly string[], token = ''): Promise<string> {
  const env = {
    BAO_ADDR: server.apiAddress,
    BAO_TOKEN: token,
    HOME: server.directory,
    ...(server.caPath === undefined ? {} : { BAO_CACERT: server.caPath }),
  }
  const { stdout } = await promisify(execFile)(openBaoPath(), args, { env, timeout: TIMEOUT_MS })
  return stdout
}
