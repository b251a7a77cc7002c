import { spawnSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Child, startChild } from './testing/child.ts'
import { tempFolder } from './testing/temp-folder.ts'

/** Size of the small file system, and of one page, which is what a tmpfs gives out. */
const DISK_BYTES = 64 * 1024
const PAGE_BYTES = 4096

/** Bytes that make a sample keyring three pages long. */
const FILLER_BYTES = 2 * PAGE_BYTES + 100
const KEYRING_PAGES = 3

/** More files than any test but one needs. */
const DISK_INODES = 16

/** keyring, keyring.previous and writer.lock; agent.lock is empty. */
const STORE_PAGES = 2 * KEYRING_PAGES + 1

/** What a write needs besides: the new one and a copy of the old one. */
const WRITE_PAGES = 2 * KEYRING_PAGES

/** Mounts a small tmpfs on $1, runs the rest, unmounts. */
const MOUNT_SCRIPT = `mount -t tmpfs -o size=${DISK_BYTES},nr_inodes=${DISK_INODES},mode=0700 tmpfs "$1" || exit 1
mounted=$1; shift; "$@"; status=$?; umount "$mounted"; exit $status`

/**
 * Runs a test's child with a real file system of 64 KiB.
 *
 * In a user and mount namespace of its own where the kernel lets us (no privilege needed, nothing to clean up), else
 * with a plain mount (root in a chroot, where user namespaces are forbidden). If neither works, the test fails.
 */
async function onSmallDisk(use: (child: Child, store: string, disk: string) => Promise<void>): Promise<void> {
  await using folder = await tempFolder()
  const disk = join(folder.path, 'disk')
  await mkdir(disk)
  const namespace = ['unshare', '--user', '--map-root-user', '--mount']
  // Some kernels allow the namespace but no mount in it: try both.
  const trial = [...namespace.slice(1), 'mount', '-t', 'tmpfs', 'tmpfs', disk]
  const isAllowed = spawnSync('unshare', trial, { stdio: 'ignore' }).status === 0
  await using child = startChild({ wrapper: [...(isAllowed ? namespace : []), 'sh', '-c', MOUNT_SCRIPT, 'sh', disk] })
  await use(child, join(disk, 'store'), disk)
}

const shell = (child: Child, command: string): ReturnType<Child['order']> =>
  child.order({ op: 'run', program: 'sh', args: ['-ec', command] })

const done = (sequence: number): object => ({ kind: 'done', sequence })

describe('a full disk', () => {
  it('leaves the store as it was, however much of the write still fits, and works again after', async () => {
    await onSmallDisk(async (child, path, disk) => {
      const write = (sequence: number): ReturnType<Child['order']> =>
        child.order({ op: 'write', path, sequence, fillerBytes: FILLER_BYTES })
      await expect(write(1)).resolves.toEqual(done(1))
      await expect(write(2)).resolves.toEqual(done(2))
      let sequence = 2
      for (let freePages = 0; freePages <= WRITE_PAGES; freePages += 1) {
        const fillerBytes = DISK_BYTES - (STORE_PAGES + freePages) * PAGE_BYTES
        await expect(shell(child, `head -c ${fillerBytes} /dev/zero > ${disk}/filler`)).resolves.toEqual(done(0))
        const answer = await write(sequence + 1)
        if (freePages < WRITE_PAGES) expect(answer).toHaveProperty('code', 'STORE_DISK_FULL')
        else expect(answer).toEqual(done((sequence += 1)))
        await expect(child.order({ op: 'read', path })).resolves.toEqual(done(sequence))
        await expect(child.order({ op: 'list', path })).resolves.toEqual({
          kind: 'listed',
          names: ['agent.lock', 'keyring', 'keyring.previous', 'writer.lock'],
        })
      }
      expect(sequence).toBe(3)
      await expect(shell(child, `rm ${disk}/filler`)).resolves.toEqual(done(0))
      await expect(write(4)).resolves.toEqual(done(4))
    })
  })

  it('does not keep an agent from locking and reading', async () => {
    await onSmallDisk(async (child, path, disk) => {
      await expect(child.order({ op: 'write', path, sequence: 1, fillerBytes: 10 })).resolves.toEqual(done(1))
      await expect(shell(child, `! head -c ${DISK_BYTES} /dev/zero > ${disk}/filler`)).resolves.toEqual(done(0))
      await expect(child.order({ op: 'hold-agent-lock', path })).resolves.toEqual(done(0))
      await expect(child.order({ op: 'read', path })).resolves.toEqual(done(1))
    })
  })
})

describe('a disk that is full to the last file', () => {
  it('does not keep the first agent of a store from locking it', async () => {
    await onSmallDisk(async (child, path, disk) => {
      await expect(child.order({ op: 'write', path, sequence: 1, fillerBytes: 10 })).resolves.toEqual(done(1))
      const fill = `for n in $(seq ${DISK_INODES}); do touch ${disk}/$n || exit 0; done; exit 1`
      await expect(shell(child, fill)).resolves.toEqual(done(0))
      await expect(child.order({ op: 'write', path, sequence: 2, fillerBytes: 10 })).resolves.toHaveProperty(
        'code',
        'STORE_DISK_FULL',
      )
      await expect(child.order({ op: 'hold-agent-lock', path })).resolves.toEqual(done(0))
      await expect(child.order({ op: 'read', path })).resolves.toEqual(done(1))
    })
  })
})

describe('a read-only file system', () => {
  it('can be read and locked, also for the first time; a write is refused and works again after', async () => {
    await onSmallDisk(async (child, path, disk) => {
      const write = (sequence: number): ReturnType<Child['order']> =>
        child.order({ op: 'write', path, sequence, fillerBytes: 10 })
      await expect(write(1)).resolves.toEqual(done(1))
      await expect(shell(child, `mount -o remount,bind,ro ${disk}`)).resolves.toEqual(done(0))
      await expect(child.order({ op: 'read', path })).resolves.toEqual(done(1))
      await expect(write(2)).resolves.toHaveProperty('code', 'STORE_READ_ONLY')
      await expect(
        child.order({ op: 'write', path: `${path}-new`, sequence: 1, fillerBytes: 10 }),
      ).resolves.toHaveProperty('code', 'STORE_READ_ONLY')
      await expect(child.order({ op: 'hold-agent-lock', path })).resolves.toEqual(done(0))
      await expect(child.order({ op: 'hold-agent-lock', path })).resolves.toHaveProperty('code', 'STORE_IN_USE')
      await expect(child.order({ op: 'read', path })).resolves.toEqual(done(1))
      await expect(shell(child, `mount -o remount,bind,rw ${disk}`)).resolves.toEqual(done(0))
      await expect(write(2)).resolves.toEqual(done(2))
    })
  })

  it('cannot be locked where somebody removed the lock file', async () => {
    await onSmallDisk(async (child, path, disk) => {
      await expect(child.order({ op: 'write', path, sequence: 1, fillerBytes: 10 })).resolves.toEqual(done(1))
      await expect(shell(child, `rm ${path}/agent.lock; mount -o remount,bind,ro ${disk}`)).resolves.toEqual(done(0))
      await expect(child.order({ op: 'hold-agent-lock', path })).resolves.toHaveProperty('code', 'STORE_READ_ONLY')
      await expect(shell(child, `mount -o remount,bind,rw ${disk}`)).resolves.toEqual(done(0))
      await expect(child.order({ op: 'hold-agent-lock', path })).resolves.toEqual(done(0))
    })
  })
})
