import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { hasErrorCode } from '@sealwright/system-error'
import { signalProcess } from './children.ts'
import { RigError } from './error.ts'

/** A readable part of a process' memory. */
export interface MemoryPart {
  /** What the part belongs to, such as `[heap]`, `[stack]`, a file, or `anonymous`; with its permissions. */
  readonly name: string
  /** Where the part begins in the process. */
  readonly address: number
  /** Valid until the next part is asked for. */
  readonly bytes: Buffer
}

const PART_BYTES = 1024 * 1024
/** Parts overlap, so that nothing up to this length hides on a border. */
const OVERLAP_BYTES = 128
/** The kernel's own pages, the same for everybody; they cannot be read from outside. */
const KERNEL_PAGES = new Set(['[vvar]', '[vvar_vclock]', '[vsyscall]'])

/**
 * Reads everything readable in the memory of a process: heaps, stacks, anonymous memory, and the files that it maps. The
 * process stands still meanwhile, so that nothing moves from where it was not looked yet to where it was.
 *
 * @throws {@link RigError} `RIG_UNREADABLE`: an unread process must not count as a clean one.
 */
export function* readMemory(pid: number): Generator<MemoryPart> {
  const memory = openMemory(pid)
  const part = Buffer.alloc(PART_BYTES)
  try {
    signalProcess(pid, 'SIGSTOP')
    for (const line of listMappings(pid)) {
      // proc(5): `start-end permissions offset device inode name`.
      const [range = '', permissions = '', , , inode, ...words] = line.split(/\s+/)
      const name = words.join(' ')
      if (!permissions.startsWith('r') || KERNEL_PAGES.has(name)) continue
      const [start = 0, end = 0] = range.split('-').map(address => Number.parseInt(address, 16))
      for (let address = start; address < end; address += PART_BYTES - OVERLAP_BYTES) {
        const wanted = part.subarray(0, Math.min(PART_BYTES, end - address))
        const count = readAt(memory, wanted, address, inode !== '0')
        yield { name: `${name || 'anonymous'} (${permissions})`, address, bytes: wanted.subarray(0, count) }
        if (count < wanted.length) break
      }
    }
  } finally {
    signalProcess(pid, 'SIGCONT')
    closeSync(memory)
  }
}

/**
 * How often each needle stands in the readable memory of a process.
 *
 * @param needles - each at most 128 bytes.
 * @throws {@link RigError} `RIG_INVALID` for a longer or an empty needle, `RIG_UNREADABLE`.
 */
export function countInMemory(pid: number, needles: readonly Uint8Array[]): readonly number[] {
  if (needles.some(({ length }) => length === 0 || length > OVERLAP_BYTES)) {
    throw new RigError('RIG_INVALID', `a needle must have 1 to ${OVERLAP_BYTES} bytes`)
  }
  // By address: what lies where two parts overlap is seen twice.
  const found = needles.map(() => new Set<number>())
  for (const { address, bytes } of readMemory(pid)) {
    for (const [index, needle] of needles.entries()) {
      for (let at = bytes.indexOf(needle); at !== -1; at = bytes.indexOf(needle, at + 1)) {
        found[index]?.add(address + at)
      }
    }
  }
  return found.map(({ size }) => size)
}

function openMemory(pid: number): number {
  try {
    return openSync(`/proc/${pid}/mem`, 'r')
  } catch (cause) {
    throw new RigError('RIG_UNREADABLE', `the memory of process ${pid} cannot be read`, { cause })
  }
}

/** At least one line: a process that ended, and was not waited for yet, has none. */
function listMappings(pid: number): readonly string[] {
  const text = readFileSync(`/proc/${pid}/maps`, 'utf8').trimEnd()
  if (text === '') throw new RigError('RIG_UNREADABLE', `process ${pid} has ended`)
  return text.split('\n')
}

/** Fills `into`, or stops where a mapped file ends before its mapping does: OpenBao maps its database far beyond its end. */
function readAt(memory: number, into: Buffer, address: number, isFile: boolean): number {
  let count = 0
  while (count < into.length) {
    const readBytes = readOnce(memory, into.subarray(count), address + count, isFile)
    if (readBytes === 'end of file') return count
    if (readBytes === 0) throw new RigError('RIG_UNREADABLE', 'the process ended while its memory was read')
    count += readBytes
  }
  return count
}

function readOnce(memory: number, into: Buffer, address: number, isFile: boolean): number | 'end of file' {
  try {
    return readSync(memory, into, { position: address })
  } catch (cause) {
    if (isFile && hasErrorCode(cause, 'EIO')) return 'end of file'
    throw new RigError('RIG_UNREADABLE', `memory at ${address.toString(16)} cannot be read`, { cause })
  }
}
