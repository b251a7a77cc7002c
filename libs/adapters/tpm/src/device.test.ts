import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { type TpmAccess } from './operation.ts'
import { sealKek } from './seal.ts'
import { getRandom, readTpmIdentity } from './status.ts'
import { unsealKek } from './unseal.ts'

/**
 * A character device in front of swtpm: a raw pseudo-terminal whose other end Python relays, one write and one read per command.
 * It stops relaying while a file named `hold` is there.
 */
const RELAY = `
import os, pty, socket, sys, time, tty
master, slave = pty.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
def exactly(read, count):
    data = b''
    while len(data) < count:
        more = read(count - len(data))
        if not more: raise EOFError
        data += more
    return data
while True:
    header = exactly(lambda n: os.read(master, n), 10)
    body = exactly(lambda n: os.read(master, n), int.from_bytes(header[2:6], 'big') - 10)
    while os.path.exists(sys.argv[2]): time.sleep(0.01)
    with socket.socket(socket.AF_UNIX) as tpm:
        tpm.connect(sys.argv[1])
        tpm.sendall(header + body)
        answer = exactly(tpm.recv, 10)
        answer += exactly(tpm.recv, int.from_bytes(answer[2:6], 'big') - 10)
    os.write(master, answer)
`

let folder: TemporaryFolder
let swtpm: Swtpm
let relay: ChildProcess
let access: TpmAccess

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  const child = spawn('python3', ['-c', RELAY, swtpm.socketPath, folder.join('hold')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  relay = child
  const path = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.stdout.once('data', (chunk: Buffer) => {
      resolve(chunk.toString('utf8').trim())
    })
  })
  access = { transport: { kind: 'device', path }, timeoutMs: 10_000, randomBytes }
})

afterEach(async () => {
  const ended = new Promise(resolve => relay.once('close', resolve))
  relay.kill('SIGKILL')
  await ended
  await swtpm.stop()
  await folder.remove()
})

describe('a TPM device', () => {
  it('seals and unseals with one write and one read per command', async () => {
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const container = await sealKek(access, await readTpmIdentity(access), { policy: { kind: 'none' } }, kek)
    expect((await unsealKek(access, container)).equals(kek)).toBe(true)
  })

  it('that does not answer is left at the deadline, and used again only after its late answer', async () => {
    await writeFile(folder.join('hold'), '')
    await expect(getRandom({ ...access, timeoutMs: 50 }, 8)).rejects.toMatchObject({ code: 'TPM_TIMEOUT' })
    await expect(getRandom({ ...access, timeoutMs: 50 }, 8)).rejects.toMatchObject({ code: 'TPM_TIMEOUT' })
    await rm(folder.join('hold'))
    await expect(getRandom(access, 8)).resolves.toHaveLength(8)
  })

  it('that is missing is unreachable', async () => {
    const transport = { kind: 'device', path: folder.join('tpmrm0') } as const
    await expect(getRandom({ ...access, transport }, 8)).rejects.toMatchObject({
      code: 'TPM_UNREACHABLE',
      message: expect.stringContaining('group') as string,
    })
  })
})
