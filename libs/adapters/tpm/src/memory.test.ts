import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { type TpmAccess } from './operation.ts'
import { sealKek } from './seal.ts'
import { readTpmIdentity } from './status.ts'

let folder: TemporaryFolder
let swtpm: Swtpm

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

/** Often enough that the garbage collector moves what lies on the JavaScript heap. */
const PROBES = 20
const PIN = Buffer.from('1234')

/** Opens a container again and again in a Node of its own, says when it is done, and stays until its input ends. */
const program = `
  import { randomFillSync } from 'node:crypto'
  import { allocateKeyBytes, Secret } from '@sealwright/secret'
  import { unsealKek } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}

  const [path, containerHex, mode] = process.argv.slice(1)
  const access = {
    transport: { kind: 'unix', path },
    timeoutMs: 20_000,
    randomBytes: count => randomFillSync(allocateKeyBytes(count)),
  }
  const kept = []
  for (let probe = 0; probe < ${PROBES}; probe++) {
    const pin = new Secret(Uint8Array.from(Buffer.from('${PIN.toString('hex')}', 'hex')))
    const kek = await unsealKek(access, Buffer.from(containerHex, 'hex'), { pin })
    if (mode === 'keep') kept.push(kek)
    else kek.wipe()
    pin.wipe()
  }
  console.log('done')
  process.stdin.on('data', () => kept).on('end', () => process.exit())
`

describe('the memory of a process that has opened a sealed key again and again', () => {
  it('does not hold the key', async () => {
    expect(await countAfterOpening('wipe')).toBe(0)
  })

  it('would show them: a key that is kept is found', async () => {
    expect(await countAfterOpening('keep')).toBeGreaterThanOrEqual(PROBES)
  })
})

/** How often the key stands in the memory of that process. */
async function countAfterOpening(mode: 'keep' | 'wipe'): Promise<number> {
  const access: TpmAccess = { transport: { kind: 'unix', path: swtpm.socketPath }, timeoutMs: 10_000, randomBytes }
  const kek = randomBytes(32)
  const conditions = { policy: { kind: 'pcr', pcrs: [7] }, pin: new Secret(Uint8Array.from(PIN)) } as const
  const container = await sealKek(access, await readTpmIdentity(access), conditions, new Secret(Uint8Array.from(kek)))
  const child = spawn(
    process.execPath,
    ['--input-type=module', '--eval', program, '--', swtpm.socketPath, Buffer.from(container).toString('hex'), mode],
    { stdio: ['pipe', 'pipe', 'inherit'], cwd: import.meta.dirname },
  )
  const exited = once(child, 'exit')
  try {
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    expect(line.toString().trim()).toBe('done')
    if (child.pid === undefined) throw new Error('the other process has no id')
    return countInMemory(child.pid, kek)
  } finally {
    child.stdin.end()
    await exited
  }
}

/** How often `needle` stands in the readable memory of a process. */
function countInMemory(pid: number, needle: Uint8Array): number {
  let count = 0
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, from = '', to = '', name = ''] = /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+ *(.*)$/.exec(line) ?? []
      // The kernel's own pages cannot be read in this way, and hold nothing of ours.
      if (from === '' || name.startsWith('[v')) continue
      const region = Buffer.alloc(Number.parseInt(to, 16) - Number.parseInt(from, 16))
      count += occurrences(region.subarray(0, readRegion(memory, region, Number.parseInt(from, 16))), needle)
    }
  } finally {
    closeSync(memory)
  }
  return count
}

/** How many bytes were read: none if the region went away since it was listed. */
function readRegion(memory: number, region: Buffer, position: number): number {
  try {
    return readSync(memory, region, { position })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EIO') return 0
    throw error
  }
}

function occurrences(region: Buffer, needle: Uint8Array): number {
  let count = 0
  for (let at = region.indexOf(needle); at !== -1; at = region.indexOf(needle, at + 1)) count += 1
  return count
}
