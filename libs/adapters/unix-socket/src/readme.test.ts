import { readReadmeExamples } from '@sealwright/testing-checks'
import { temporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { listenOnUnixSocket } from './index.ts'

async function example({
  server,
  path,
  groupId,
  stopped,
}: {
  readonly server: Server
  readonly path: string
  readonly groupId: number
  readonly stopped: Promise<undefined>
}): Promise<void> {
  // README
  const socket = await listenOnUnixSocket(server, { path, mode: 0o660, owner: { groupId } })
  await stopped // such as SIGTERM
  socket.remove()
  server.close()
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('listens until it is told to stop', async () => {
    await using folder = await temporaryFolder()
    const path = folder.join('control.sock')
    const stopped = Promise.withResolvers<undefined>()
    const groupId = process.getegid?.() ?? -1
    const running = example({ server: createServer(), path, groupId, stopped: stopped.promise })
    await waitUntil(() => existsSync(path), { what: 'the socket', timeoutMs: 10_000 })
    expect(statSync(path).mode & 0o777).toBe(0o660)
    stopped.resolve(undefined)
    await running
    expect(readdirSync(folder.path)).toEqual([])
  })
})
