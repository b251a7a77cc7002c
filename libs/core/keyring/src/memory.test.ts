import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'

import { Secret } from '@sealwright/secret'
import { toHex } from '@sealwright/testing-vectors'

import { encodeKeyring } from './codec.ts'
import { createKeyring } from './create-keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { recordFor, surroundings } from './testing/samples.ts'

/** Sealed means masked here, so that nothing in the other process holds the plain bytes before they are unsealed. */
const MASK = 0x5a
const masked = (bytes: Uint8Array) => bytes.map(byte => byte ^ MASK)

/** Opens a keyring in a Node of its own, shows that it works, and stays until its input ends. */
const program = `
  import { decodeKeyring, openKeyring } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
  import { Secret } from '@sealwright/secret'

  const [keyringHex, mode] = process.argv.slice(1)
  const keyring = decodeKeyring(Buffer.from(keyringHex, 'hex'))
  const [{ sealId, memberId }] = keyring.members
  const kept = []
  const unsealKek = async sealedKek => {
    const kek = new Secret(sealedKek.map(byte => byte ^ ${MASK}))
    if (mode === 'keep') kept.push(kek.clone())
    return kek
  }
  const open = await openKeyring({ keyring, sealId, member: { memberId, unsealKek }, signal: new AbortController().signal })
  console.log(open.keyId)
  process.stdin.on('data', () => kept).on('end', () => open.close())
`

/** How often each needle stands in the readable memory of a process. */
function countInMemory(pid: number, needles: readonly Uint8Array[]): readonly number[] {
  const counts = needles.map(() => 0)
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, from = '', to = '', name = ''] = /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+ *(.*)$/.exec(line) ?? []
      // The kernel's own pages cannot be read in this way, and hold nothing of ours.
      if (from === '' || name.startsWith('[v')) continue
      const region = Buffer.alloc(Number.parseInt(to, 16) - Number.parseInt(from, 16))
      const position = Number.parseInt(from, 16)
      const bytesRead = readRegion(memory, region, position)
      for (const [index, needle] of needles.entries()) {
        counts[index] = (counts[index] ?? 0) + occurrences(region.subarray(0, bytesRead), needle)
      }
    }
  } finally {
    closeSync(memory)
  }
  return counts
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

/** Counts seal key and KEK in the memory of a process that has opened a keyring. */
async function countAfterOpening(mode: 'keep' | 'wipe'): Promise<{ readonly sealKey: number; readonly kek: number }> {
  const sealKey = randomBytes(32)
  let kek: Uint8Array = new Uint8Array()
  const member = {
    ...fakeMember('masking'),
    sealKek: (secret: Secret) => {
      kek = secret.reveal(bytes => Uint8Array.from(bytes))
      return Promise.resolve(masked(kek))
    },
  }
  const secret = new Secret(Uint8Array.from(sealKey))
  const keyring = await createKeyring({ ...recordFor(member), ...surroundings, sealKey: secret })
  const child = spawn(
    process.execPath,
    ['--input-type=module', '--eval', program, '--', toHex(encodeKeyring(keyring)), mode],
    { stdio: ['pipe', 'pipe', 'inherit'], cwd: import.meta.dirname },
  )
  const exited = once(child, 'exit')
  try {
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    expect(line.toString().trim()).toBe(keyring.generations[0]?.keyId)
    if (child.pid === undefined) throw new Error('the other process has no id')
    const [sealKeys = -1, keks = -1] = countInMemory(child.pid, [sealKey, kek])
    return { sealKey: sealKeys, kek: keks }
  } finally {
    child.stdin.end()
    await exited
  }
}

describe('the memory of a process that has opened a keyring', () => {
  it('holds neither the seal key nor the KEK', async () => {
    expect(await countAfterOpening('wipe')).toEqual({ sealKey: 0, kek: 0 })
  })

  it('would show them: a KEK that is kept is found', async () => {
    const { kek } = await countAfterOpening('keep')
    expect(kek).toBeGreaterThan(0)
  })
})
