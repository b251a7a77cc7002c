import { temporaryFolder } from '@sealwright/testing-rig'
import { existsSync, readdirSync } from 'node:fs'
import { GRPCController } from './generated/plugin/controller_pb.ts'
import { type ServedFolder, servedFolder } from './testing/served-folder.ts'

let folder: ServedFolder

beforeEach(async () => {
  folder = servedFolder(await temporaryFolder())
})

afterEach(async () => {
  await folder.close()
})

describe('the end of a session', () => {
  it('comes with Shutdown, which is answered', async () => {
    const server = await folder.serve()
    const one = await folder.openHost()
    one.openStdio()
    await folder.eventOf('hostConnected')
    await one.call(GRPCController.method.shutdown, {})
    expect((await folder.eventOf('sessionEnded')).reason).toBe('shutdown')
    expect(server.sessions()).toEqual([])
    expect(existsSync(one.socketPath)).toBe(false)
  })

  it('comes when the host cancels its stdio stream', async () => {
    await folder.serve()
    const one = await folder.openHost()
    const cancel = one.openStdio()
    await folder.eventOf('hostConnected')
    cancel()
    expect((await folder.eventOf('sessionEnded')).reason).toBe('hostLost')
    expect(existsSync(one.socketPath)).toBe(false)
  })

  it('comes when no host does, and frees socket and pipe', async () => {
    await folder.serve({}, { limits: { hostTimeoutMs: 50, spareKits: 0 } })
    const one = await folder.openHost()
    expect((await folder.eventOf('sessionEnded')).reason).toBe('hostAbsent')
    expect(existsSync(one.socketPath)).toBe(false)
    expect(folder.leftovers()).toEqual([])
  })

  it('comes with the end of the agent, which leaves only the request pipe', async () => {
    const server = await folder.serve()
    const one = await folder.openHost()
    one.openStdio()
    await folder.eventOf('hostConnected')
    await server.close()
    expect((await folder.eventOf('sessionEnded')).reason).toBe('agentClosed')
    expect(folder.leftovers()).toEqual([])
    expect(readdirSync(folder.directory).sort()).toEqual(['in', 'out', 's'])
  })

  it('comes with the abort of the signal', async () => {
    const stop = new AbortController()
    await folder.serve({}, { signal: stop.signal })
    await folder.openHost()
    stop.abort()
    expect((await folder.eventOf('sessionEnded')).reason).toBe('agentClosed')
  })
})
