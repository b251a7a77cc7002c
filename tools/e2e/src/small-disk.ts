import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { hasErrorCode } from '@sealwright/system-error'
import { SEARCH_PATH } from '@sealwright/testing-rig'

/** A real file system of a few pages, which can be filled and made read-only. */
export interface SmallDisk extends AsyncDisposable {
  /** Where every program of this machine finds it. */
  readonly path: string
  setReadOnly(isReadOnly: boolean): Promise<void>
  /** Takes what space is left, to the last page and the last file. */
  fill(): Promise<void>
  /** Gives back what {@link SmallDisk.fill} took. */
  free(): Promise<void>
}

const DISK_BYTES = 128 * 1024
const DISK_INODES = 64
const PAGE_BYTES = 4096
const FILLER = 'filler'

/**
 * Mounts a tmpfs of 128 KiB and 64 files on a new folder.
 *
 * In a user and mount namespace of its own where the kernel lets us: no privilege is needed, and nothing can stay behind. Other
 * processes reach it through the `root` link of the shell that holds the namespace. Else with a plain mount (root in a
 * container without user namespaces). If neither works, the test fails.
 */
export async function mountSmallDisk(mountPoint: string): Promise<SmallDisk> {
  await mkdir(mountPoint)
  const mount = `mount -t tmpfs -o size=${DISK_BYTES},nr_inodes=${DISK_INODES},mode=0700 tmpfs '${mountPoint}'`
  const held = await startShell(['unshare', '--user', '--map-root-user', '--mount', 'sh'], mount)
  const shell = held ?? (await startShell(['sh'], mount))
  if (shell === undefined) throw new Error('a tmpfs can be mounted neither in a user namespace nor as root')
  const path = held === undefined ? mountPoint : `/proc/${shell.pid}/root${mountPoint}`
  return {
    path,
    async setReadOnly(isReadOnly) {
      await shell.run(`mount -o remount,bind,${isReadOnly ? 'ro' : 'rw'} '${mountPoint}'`)
    },
    async fill() {
      const folder = join(path, FILLER)
      await mkdir(folder)
      await using filler = await open(join(folder, 'pages'), 'w')
      await untilFull(() => filler.writeFile(Buffer.alloc(PAGE_BYTES)))
      await untilFull(file => writeFile(join(folder, String(file)), ''))
    },
    async free() {
      await rm(join(path, FILLER), { recursive: true })
    },
    async [Symbol.asyncDispose]() {
      try {
        // Lazily: whatever a failed test left running there must not keep the disk of a plain mount on this machine.
        if (held === undefined) await shell.run(`umount --lazy '${mountPoint}'`)
      } finally {
        await shell.end()
      }
    },
  }
}

async function untilFull(take: (count: number) => Promise<void>): Promise<void> {
  for (let count = 0; ; count += 1) {
    try {
      await take(count)
    } catch (error) {
      if (hasErrorCode(error, 'ENOSPC')) return
      throw error
    }
  }
}

interface Shell {
  readonly pid: number
  run(command: string): Promise<void>
  end(): Promise<void>
}

/** Starts a shell that takes commands and runs the first one; `undefined` if shell or command cannot be run here. */
async function startShell([program = '', ...args]: readonly string[], first: string): Promise<Shell | undefined> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: { PATH: SEARCH_PATH } })
  const isSpawned = await once(child, 'spawn').then(
    () => true,
    () => false,
  )
  if (!isSpawned || child.pid === undefined) return undefined
  const closed = once(child, 'close')
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const end = async (): Promise<void> => {
    child.stdin.end()
    await closed
  }
  const shell: Shell = {
    pid: child.pid,
    async run(command) {
      child.stdin.write(`${command}; echo $?\n`)
      const { value, done } = await answers.next()
      if (done === true || value !== '0') throw new Error(`${command} ended with ${String(value)}`)
    },
    end,
  }
  // Where namespaces are forbidden the shell ends at once: its pipe may break under our first command.
  child.stdin.on('error', () => child.kill())
  try {
    await shell.run(first)
    return shell
  } catch (error) {
    await end()
    if (error instanceof Error) return undefined
    throw error
  }
}
