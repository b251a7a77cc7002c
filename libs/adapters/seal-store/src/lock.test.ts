import { execFileSync } from 'node:child_process'
import { hostname } from 'node:os'
import { chmod, mkdir, readFile, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type FlockCommand } from './index.ts'
import { openFolder } from './folder.ts'
import { type StoreLock, lockFolder } from './lock.ts'
import { startChild } from './testing/child.ts'
import { sampleKeyring } from './testing/sample-keyring.ts'
import { acceptAll, never, openSampleStore, storeError, writeSample } from './testing/sample-store.ts'
import { tempFolder } from './testing/temp-folder.ts'

async function lockWriter(path: string, timeoutMs: number, signal = never): Promise<StoreLock> {
  await using folder = await openFolder(path)
  return await lockFolder(folder, 'writer', { flockCommand: ['flock'], timeoutMs, signal })
}

describe('the agent lock', () => {
  it('refuses a second agent and names the process that holds it, in the same process and in another', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await using lock = await store.lockForAgent({ signal: never })
    expect(lock.name).toBe('agent')
    const message = new RegExp(`process ${process.pid} on host ${hostname()}`)
    await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_IN_USE', message))
    await using child = startChild()
    const answer = await child.order({ op: 'hold-agent-lock', path: folder.path })
    expect(answer).toEqual({ kind: 'failed', code: 'STORE_IN_USE', message: expect.stringMatching(message) as unknown })
  })

  it('is free again when it is released', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    for (let round = 0; round < 3; round += 1) {
      await using lock = await store.lockForAgent({ signal: never })
      expect(lock.name).toBe('agent')
    }
  })

  it('is freed by SIGKILL of its holder at once, even while a program that the holder started lives on', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await using child = startChild()
    await expect(child.order({ op: 'hold-agent-lock', path: folder.path })).resolves.toHaveProperty('kind', 'done')
    const started = await child.order({ op: 'start-grandchild' })
    const grandchildPid = started.kind === 'done' ? started.sequence : 0
    expect(grandchildPid).toBeGreaterThan(1)
    try {
      await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_IN_USE'))
      await child.kill()
      await using lock = await store.lockForAgent({ signal: never })
      expect(lock.name).toBe('agent')
      expect(await readFile(`/proc/${grandchildPid}/comm`, 'latin1')).toBe('sleep\n')
    } finally {
      process.kill(grandchildPid, 'SIGKILL')
    }
  })

  it('does not stop reading and writing', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await using lock = await store.lockForAgent({ signal: never })
    await writeSample(store, 1)
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
    expect(lock.name).toBe('agent')
  })

  it('says that the holder is unknown when the note is not one of ours', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    await using lock = await store.lockForAgent({ signal: never })
    for (const note of ['', 'pid 1', 'pid 7 on a\u001b[2Jb\n', 'x'.repeat(10_000)]) {
      await writeFile(join(folder.path, 'agent.lock'), note)
      await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_IN_USE', /is not known/))
    }
    expect(lock.name).toBe('agent')
  })

  it('refuses a link, a folder or a pipe as lock file', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    const path = join(folder.path, 'agent.lock')
    await symlink('keyring', path)
    await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_NOT_A_FILE'))
    await unlink(path)
    execFileSync('mkfifo', ['-m', '600', path])
    await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_NOT_A_FILE'))
    await unlink(path)
    await mkdir(path)
    await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_NOT_A_FILE'))
  })

  it('says which program is missing', async () => {
    await using folder = await tempFolder()
    for (const program of ['no-such-flock', '/etc/passwd']) {
      await using store = await openSampleStore(folder.path, { flockCommand: [program] })
      await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_TOOL_MISSING'))
    }
  })

  it('takes no other failure of the program for a lock, nor for a busy one', async () => {
    await using folder = await tempFolder()
    const failing: FlockCommand[] = [
      ['sh', '-c', 'echo "bad file descriptor" >&2; exit 1'],
      ['sh', '-c', 'exit 64'],
      ['sh', '-c', 'kill -9 $$'],
    ]
    for (const flockCommand of failing) {
      await using store = await openSampleStore(folder.path, { flockCommand })
      await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_LOCK_FAILED'))
    }
  })

  it('takes the lock anew when somebody removed the lock file meanwhile', async () => {
    await using folder = await tempFolder()
    const once = join(folder.path, '..', `${folder.path.split('/').pop() ?? ''}.flock`)
    const lockPath = join(folder.path, 'agent.lock')
    // Locks like flock, but removes the file the first time, as a careless clean-up might.
    await writeFile(
      once,
      `#!/bin/sh\nflock "$@" || exit 1\n[ -x "$0" ] && chmod 600 "$0" && rm '${lockPath}'\nexit 0\n`,
    )
    await chmod(once, 0o700)
    try {
      await using store = await openSampleStore(folder.path, { flockCommand: ['sh', '-c', `. ${once}`, once] })
      await using lock = await store.lockForAgent({ signal: never })
      expect(lock.name).toBe('agent')
      await expect(store.lockForAgent({ signal: never })).rejects.toEqual(storeError('STORE_IN_USE'))
    } finally {
      await unlink(once)
    }
  })
})

describe('the writer lock', () => {
  it('is waited for, and the write then goes on', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path)
    const held = await lockWriter(folder.path, 1000)
    const waiting = writeSample(store, 1)
    await expect(lockWriter(folder.path, 100)).rejects.toEqual(storeError('STORE_LOCK_TIMEOUT'))
    await held[Symbol.asyncDispose]()
    await waiting
    await expect(store.readKeyring()).resolves.toEqual(sampleKeyring(1))
  })

  it('gives up at its deadline and says who holds it', async () => {
    await using folder = await tempFolder()
    await using store = await openSampleStore(folder.path, { writerLockTimeoutMs: 100 })
    await using held = await lockWriter(folder.path, 1000)
    await expect(writeSample(store, 1)).rejects.toEqual(
      storeError('STORE_LOCK_TIMEOUT', new RegExp(`within 100 ms: process ${process.pid} on`)),
    )
    expect(held.name).toBe('writer')
  })

  it('gives up at its deadline when the flock program itself hangs, and leaves no process', async () => {
    await using folder = await tempFolder()
    const pidPath = join(folder.path, 'pid')
    const flockCommand: FlockCommand = ['sh', '-c', `echo $$ > ${pidPath}; exec sleep 60`]
    await using store = await openSampleStore(folder.path, { flockCommand, writerLockTimeoutMs: 300 })
    await expect(
      store.writeKeyring({ bytes: sampleKeyring(1), expectedCurrent: undefined, prove: acceptAll, signal: never }),
    ).rejects.toEqual(storeError('STORE_LOCK_TIMEOUT', /did not answer/))
    const pid = Number(await readFile(pidPath, 'latin1'))
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })

  it('ends waiting when the caller cancels, with the reason of the caller', async () => {
    await using folder = await tempFolder()
    await using held = await lockWriter(folder.path, 1000)
    const controller = new AbortController()
    const reason = new Error('shutting down')
    const waiting = lockWriter(folder.path, 60_000, controller.signal)
    controller.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    expect(held.name).toBe('writer')
  })
})
