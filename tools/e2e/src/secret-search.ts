import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { errorCodeOf, hasErrorCode } from '@sealwright/system-error'
import { findProcesses, processTree, readMemory } from '@sealwright/testing-rig'
import { type Needle, needlesOf } from './needles.ts'

/** Looks for one secret in all its forms. Every method returns where it was found and in which form; empty is good. */
export interface SecretSearch {
  readonly needles: readonly Needle[]
  bytes(place: string, bytes: Buffer): readonly string[]
  /** All readable memory of a process. */
  memory(pid: number): readonly string[]
  /** Arguments and environment of every process of this machine. */
  processTable(): readonly string[]
  /** Content and name of every regular file below a folder that was written after `sinceMs`; archives also unpacked. */
  files(folder: string, options?: { readonly sinceMs?: number; readonly skip?: readonly string[] }): readonly string[]
}

const ZEROS = Buffer.alloc(1024 * 1024)
const GZIP_MAGIC = Buffer.from('1f8b', 'hex')

export function searchFor(secret: Uint8Array): SecretSearch {
  const needles = needlesOf(secret)

  const search: SecretSearch = {
    needles,
    bytes(place, bytes) {
      return needles.flatMap(needle => (bytes.includes(needle.bytes) ? [`${place}: ${needle.form}`] : []))
    },
    memory(pid) {
      const found = new Set<string>()
      for (const { name, bytes } of readMemory(pid)) {
        // Most of what an engine maps was never used.
        if (bytes.equals(ZEROS.subarray(0, bytes.length))) continue
        for (const place of search.bytes(`memory of ${pid}, ${name}`, bytes)) found.add(place)
      }
      return [...found]
    },
    processTable() {
      return findProcesses(() => true).flatMap(process => {
        const text = [...process.commandLine, ...process.environment()].join('\0')
        return search.bytes(`arguments or environment of ${process.pid}`, Buffer.from(text))
      })
    },
    files(folder, { sinceMs = 0, skip = [] } = {}) {
      return filesBelow(folder, sinceMs, skip).flatMap(path => {
        const bytes = readFile(path)
        const unpacked = bytes.subarray(0, 2).equals(GZIP_MAGIC) ? unpack(bytes) : Buffer.alloc(0)
        return [...search.bytes(path, bytes), ...search.bytes(`unpacked ${path}`, unpacked)]
      })
    },
  }
  return search
}

/** Every running process that was started with a path below `folder` among its arguments, and what these have started. */
export function processesOf(folder: string): readonly number[] {
  const started = findProcesses(({ commandLine }) => commandLine.some(argument => argument.includes(`${folder}/`)))
  return [...new Set(started.flatMap(({ pid }) => processTree(pid).map(process => process.pid)))]
}

function filesBelow(folder: string, sinceMs: number, skip: readonly string[]): readonly string[] {
  return unlessTheirs(folder, () => readdirSync(folder, { withFileTypes: true }), []).flatMap(entry => {
    const path = join(folder, entry.name)
    if (skip.includes(entry.name)) return []
    if (entry.isDirectory()) return filesBelow(path, sinceMs, skip)
    if (!entry.isFile()) return []
    return unlessTheirs(path, () => lstatSync(path).mtimeMs, 0) >= sinceMs ? [path] : []
  })
}

function readFile(path: string): Buffer {
  return unlessTheirs(path, () => readFileSync(path), Buffer.alloc(0))
}

/** Others write and remove temporary files while we look, and other users keep theirs closed: nothing of ours is in those. */
function unlessTheirs<T>(path: string, read: () => T, otherwise: T): T {
  try {
    return read()
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return otherwise
    if (hasErrorCode(error, 'EACCES') && lstatSync(path).uid !== process.geteuid?.()) return otherwise
    throw error
  }
}

/** Content of a gzip file; nothing if it only begins like one. */
function unpack(bytes: Buffer): Buffer {
  try {
    return gunzipSync(bytes)
  } catch (error) {
    if (errorCodeOf(error)?.startsWith('Z_') === true) return Buffer.alloc(0)
    throw error
  }
}
