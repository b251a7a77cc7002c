import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import { Secret } from '@sealwright/secret'
import {
  countInMemory,
  type Swtpm,
  type TemporaryFolder,
  startSwtpm,
  temporaryFolder,
  withNodeProgram,
} from '@sealwright/testing-rig'

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
const source = `
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
  const args = [swtpm.socketPath, Buffer.from(container).toString('hex'), mode]
  return await withNodeProgram({ source, args, workingDirectory: import.meta.dirname }, ({ pid, line }) => {
    expect(line).toBe('done')
    return countInMemory(pid, [kek])[0] ?? -1
  })
}
