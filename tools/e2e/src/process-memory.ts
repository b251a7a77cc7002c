import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { hasErrorCode } from '@sealwright/system-error'

/** A readable part of a process' memory. */
export interface MemoryPart {
  /** What the part belongs to, such as `[heap]`, `[stack]`, a file, or `anonymous`; with its permissions. */
  readonly name: string
  /** Valid until the next part is asked for. */
  readonly bytes: Buffer
}

const PART_BYTES = 1024 * 1024
/** Parts overlap, so that nothing hides on a border. */
const OVERLAP_BYTES = 128
/** The kernel's own pages, the same for everybody; they cannot be read from outside. */
const KERNEL_PAGES = new Set(['[vvar]', '[vvar_vclock]', '[vsyscall]'])

/**
 * Reads everything readable in the memory of a process: heaps, stacks, anonymous memory, and the files that it maps. The process
 * stands still meanwhile, so that nothing moves from where it was not looked yet to where it was.
 *
 * @throws {Error} if the process cannot be read: an unread process must not count as a clean one.
 */
export function* readMemory(pid: number): Generator<MemoryPart> {
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const part = Buffer.alloc(PART_BYTES)
  process.kill(pid, 'SIGSTOP')
  try {
    // proc(5): `start-end permissions offset device inode name`.
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').trimEnd().split('\n')) {
      const [range = '', permissions = '', , , inode, ...name] = line.split(/\s+/)
      if (!permissions.startsWith('r') || KERNEL_PAGES.has(name.join(' '))) continue
      const [start = 0, end = 0] = range.split('-').map(address => Number.parseInt(address, 16))
      for (let from = start; from < end; from += PART_BYTES - OVERLAP_BYTES) {
        const wanted = part.subarray(0, Math.min(PART_BYTES, end - from))
        const count = readAt(memory, wanted, from, inode !== '0')
        yield { name: `${name.join(' ') || 'anonymous'} (${permissions})`, bytes: wanted.subarray(0, count) }
        if (count < wanted.length) break
      }
    }
  } finally {
    process.kill(pid, 'SIGCONT')
    closeSync(memory)
  }
}

/** Fills `into`, or stops where a mapped file ends before its mapping does: OpenBao maps its database far beyond its end. */
function readAt(memory: number, into: Buffer, address: number, isFile: boolean): number {
  let count = 0
  while (count < into.length) {
    try {
      const readBytes = readSync(memory, into, count, into.length - count, address + count)
      if (readBytes === 0) throw new Error('the process ended while its memory was read')
      count += readBytes
    } catch (cause) {
      if (isFile && hasErrorCode(cause, 'EIO')) return count
      throw new Error(`cannot read memory at ${(address + count).toString(16)}`, { cause })
    }
  }
  return count
}
