import { constants, type Stats } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { belongsToOthers, isWritableByOthers } from '@sealwright/program'
import { BootstrapError } from './errors.ts'
import { type Mounted, pathInside } from './mounted-file.ts'

/** The link in a mounted Kubernetes Secret that leads to the folder with its present files. */
export const KUBERNETES_DATA = '..data'

/** Of a folder: only who owns an entry may rename or remove it. */
const STICKY = 0o1000
const { S_IRGRP, S_IROTH } = constants

/**
 * Refuses a file or folder in which somebody else could put a seal key of their own: the cluster would encrypt under it.
 *
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_UNSAFE`.
 */
export function assertOnlyOursToWrite({ path, status }: Pick<Mounted, 'path' | 'status'>): void {
  assertOurs(path, status)
  if (!isWritableByOthers(status)) return
  throw unsafe(`others may write ${path} (mode ${octal(status)}): find out whether anybody did, then chmod go-w it`)
}

/**
 * The same for a folder in the form of a mounted Kubernetes Secret. Everybody may write in the outer one of those, but it is
 * sticky, and all that is read goes by way of one link in it: it does if nobody else can replace that link.
 *
 * @param version - what the link leads to.
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_UNSAFE`.
 */
export async function assertOnlyOursToSwitch(folder: Mounted, version: Mounted): Promise<void> {
  assertOnlyOursToWrite(version)
  if ((folder.status.mode & STICKY) === 0) {
    assertOnlyOursToWrite(folder)
    return
  }
  assertOurs(folder.path, folder.status)
  assertOurs(join(folder.path, KUBERNETES_DATA), await lstat(pathInside(folder, KUBERNETES_DATA)))
}

/** What to tell the operator if more than the owner may read the seal key. Kubernetes mounts it so, in a file system of the pod. */
export function readerWarnings({ path, status }: Mounted): readonly string[] {
  if ((status.mode & (S_IRGRP | S_IROTH)) === 0) return []
  return [
    `others may read the plain seal key in ${path} (mode ${octal(status)}): chmod go-r it, unless nobody else is in this container`,
  ]
}

function assertOurs(path: string, status: Stats): void {
  if (!belongsToOthers(status)) return
  throw unsafe(
    `${path} belongs to user ${status.uid}: find out why, then give it to root or to user ${String(process.geteuid?.())}`,
  )
}

function unsafe(message: string): BootstrapError {
  return new BootstrapError('BOOTSTRAP_KEY_UNSAFE', message)
}

function octal({ mode }: Stats): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}
