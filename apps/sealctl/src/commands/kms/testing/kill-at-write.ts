import { constants } from 'node:fs'
import files, { type FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

// Loaded into a program before it runs (--import): kills it right before the change of the disk that KILL_AT_WRITE names, counted from 1. What a
// kill leaves behind differs only from one such change to the next.

const killAt = Number(process.env.KILL_AT_WRITE)
let writes = 0

function count(): void {
  writes += 1
  if (writes === killAt) process.kill(process.pid, 'SIGKILL')
}

type Call = (...args: readonly unknown[]) => unknown

/** Counts each call of these functions. */
function countCalls(target: object, names: readonly string[]): void {
  const calls = target as Record<string, Call>
  for (const name of names) {
    const call = calls[name]
    if (typeof call !== 'function') throw new Error(`there is no ${name}`)
    calls[name] = (...args) => {
      count()
      return Reflect.apply(call, target, args)
    }
  }
}

countCalls(files, ['rename', 'unlink', 'rm', 'mkdir', 'link', 'symlink', 'writeFile', 'chmod', 'truncate'])

const open = files.open
const opened = async (...args: Parameters<typeof open>): Promise<FileHandle> => {
  const [, flags] = args
  if (typeof flags === 'number' && (flags & constants.O_CREAT) !== 0) count()
  const handle = await open(...args)
  countCalls(handle, ['write', 'writeFile', 'truncate', 'chmod', 'sync', 'datasync'])
  return handle
}
Object.assign(files, { open: opened })
syncBuiltinESMExports()
