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
 * It stops relaying while a file named `hold` is there. The terminals are of its own mount, so that no `/dev/pts` is needed; it
 * lies over a folder of `/proc`, which is a mount of its own everywhere, also where `/` is none because of a chroot.
 */
const RELAY = `
import fcntl, os, socket, struct, subprocess, sys, time, tty
tpm_path, hold_path = sys.argv[1:]
terminals = '/proc/tty'
subprocess.run(['mount', '--make-rprivate', '/proc'], check=True)
subprocess.run(['mount', '-t', 'devpts', '-o', 'newinstance,ptmxmode=0600', 'devpts', terminals], check=True)
master = os.open(terminals + '/ptmx', os.O_RDWR | os.O_NOCTTY)
TIOCSPTLCK, TIOCGPTN = 0x40045431, 0x80045430 # ioctl_tty(2)
fcntl.ioctl(master, TIOCSPTLCK, struct.pack('i', 0))
number, = struct.unpack('I', fcntl.ioctl(master, TIOCGPTN, struct.pack('I', 0)))
slave = os.open(f'{terminals}/{number}', os.O_RDWR | os.O_NOCTTY)
tty.setraw(slave)
print(f'/proc/{os.getpid()}/fd/{slave}', flush=True)
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
    while os.path.exists(hold_path): time.sleep(0.01)
    with socket.socket(socket.AF_UNIX) as tpm:
        tpm.connect(tpm_path)
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
  const asRoot = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const program = ['python3', '-c', RELAY, swtpm.socketPath, folder.join('hold')]
  const child = spawn('unshare', ['--mount', '--propagation', 'unchanged', ...asRoot, '--', ...program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  relay = child
  const path = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', code => {
      reject(new Error(`the relay ended with ${String(code)}: a mount of devpts is needed`))
    })
    child.stdout.once('data', (chunk: Buffer) => {
      resolve(chunk.toString('utf8').trim())
    })
  })
  access = { transport: { kind: 'device', path }, timeoutMs: 10_000, randomBytes }
})

afterEach(async () => {
  if (relay.exitCode === null) {
    const ended = new Promise(resolve => relay.once('exit', resolve))
    relay.kill('SIGKILL')
    await ended
  }
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
