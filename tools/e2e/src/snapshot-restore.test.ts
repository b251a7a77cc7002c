import { execFile } from 'node:child_process'
import { mkdir, rename } from 'node:fs/promises'
import { promisify } from 'node:util'
import { openBaoPath } from '@sealwright/testing-rig'
import { initialise, openNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const SECRET_PATH = 'kv/proof'
const TIMEOUT_MS = 60_000

const scope = testScope()

describe('a snapshot of OpenBao', () => {
  it('opens again on empty raft storage through the same seal store', async () => {
    const opened = await openNode(scope)
    const bao = opened.node.openBao()
    const snapshot = scope.folder.join('raft.snap')
    const write = async (path: string, body: Readonly<Record<string, unknown>>) =>
      await bao.request({ method: 'POST', path, body, token: opened.rootToken })
    expect(await write('sys/mounts/kv', { type: 'kv' })).toMatchObject({ status: 204 })
    expect(await write(SECRET_PATH, { value: 'kept' })).toMatchObject({ status: 204 })
    await run(bao.apiAddress, opened.rootToken, ['operator', 'raft', 'snapshot', 'save', snapshot])

    await bao.stop()
    await rename(bao.dataDirectory, `${bao.dataDirectory}.old`)
    await mkdir(bao.dataDirectory, { mode: 0o700 })
    const newRootToken = await initialise(opened)
    expect(newRootToken).not.toBe(opened.rootToken)
    await run(bao.apiAddress, newRootToken, ['operator', 'raft', 'snapshot', 'restore', snapshot])

    const isBack = async () => {
      const { status, body } = await opened.node.openBao().request({ path: SECRET_PATH, token: opened.rootToken })
      return status === 200 && (body as { data: { value: string } }).data.value === 'kept'
    }
    await opened.node.openBao().waitFor(isBack, { what: 'the secret of the snapshot, by its own token' })
    await opened.node.openBao().restart({ until: 'active' })
    expect(await isBack()).toBe(true)
    expect(await opened.node.sealctl('status')).toMatchObject({ exitCode: 0 })
  })
})

/** Runs OpenBao's own command line, as an operator does. */
async function run(address: string, token: string, args: readonly string[]): Promise<void> {
  const env = { BAO_ADDR: address, BAO_TOKEN: token, HOME: scope.folder.path }
  await promisify(execFile)(openBaoPath(), args, { env, timeout: TIMEOUT_MS })
}
