import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { type Swtpm, startSwtpm } from './swtpm.ts'

let directory: string
let tpm: Swtpm | undefined

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'swtpm-'))
})

afterEach(async () => {
  await tpm?.stop()
  tpm = undefined
  await rm(directory, { recursive: true })
})

/** Sends TPM2_GetRandom and returns the whole answer in hex. */
function getRandom(address: { path: string } | { host: string; port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(address, () => socket.write(Buffer.from('80010000000c0000017b0008', 'hex')))
    socket.once('error', reject)
    socket.once('data', chunk => {
      socket.destroy()
      resolve(chunk.toString('hex'))
    })
  })
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('startSwtpm', () => {
  it('answers TPM commands as soon as it is started', async () => {
    tpm = await startSwtpm({ directory })
    await expect(getRandom({ path: tpm.socketPath })).resolves.toMatch(/^800100000014000000000008/)
    expect(tpm.controlPath).toBe(`${tpm.socketPath}.ctrl`)
  })

  it('listens on loopback TCP when asked to', async () => {
    tpm = await startSwtpm({ directory, tcp: true })
    await expect(getRandom({ host: '127.0.0.1', port: tpm.tcpPort ?? 0 })).resolves.toMatch(/^80010000001400000000/)
  })

  it('is another process on the same state after a power cycle', async () => {
    tpm = await startSwtpm({ directory })
    const before = tpm.pid
    await tpm.powerCycle()
    expect(tpm.pid).not.toBe(before)
    expect((await readdir(directory)).filter(name => name.startsWith('state'))).toEqual(['state-1'])
    await expect(getRandom({ path: tpm.socketPath })).resolves.toMatch(/^80010000001400000000/)
  })

  it('starts again even while it is being killed', async () => {
    tpm = await startSwtpm({ directory })
    const dying = tpm.kill()
    await tpm.start()
    await dying
    await expect(getRandom({ path: tpm.socketPath })).resolves.toMatch(/^80010000001400000000/)
  })

  it('has a new state after it was replaced', async () => {
    tpm = await startSwtpm({ directory })
    await tpm.replace()
    expect((await readdir(directory)).filter(name => name.startsWith('state'))).toEqual(['state-1', 'state-2'])
  })

  it('leaves no process behind, however it is ended', async () => {
    const controller = new AbortController()
    tpm = await startSwtpm({ directory, signal: controller.signal })
    const pids = [tpm.pid ?? 0]
    await tpm.stop()
    await tpm.start()
    pids.push(tpm.pid ?? 0)
    await tpm.kill()
    await tpm.start()
    pids.push(tpm.pid ?? 0)
    controller.abort()
    await tpm.stop()
    expect(tpm.pid).toBeUndefined()
    expect(pids.filter(isAlive)).toEqual([])
  })

  it('says what went wrong when swtpm cannot start', async () => {
    const tooLong = join(directory, 'x'.repeat(120))
    await mkdir(tooLong)
    await expect(startSwtpm({ directory: tooLong })).rejects.toThrow(/swtpm ended with/)
  })
})
