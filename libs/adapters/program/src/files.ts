import { constants, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { parseNodeConfig, type NodeConfig } from '@sealwright/node-config'
import { Secret } from '@sealwright/secret'
import { hasErrorCode } from '@sealwright/system-error'
import { ProgramError } from './errors.ts'

const MAX_SECRET_FILE_BYTES = 4096
const ROOT_UID = 0
const { S_IRWXO, S_IWGRP, S_IWOTH } = constants

/**
 * Reads and checks a node's configuration file.
 *
 * @throws {@link ProgramError} `CONFIG_UNREADABLE`, `CONFIG_UNSAFE`; and what `parseNodeConfig` throws.
 */
export async function loadNodeConfig(path: string): Promise<NodeConfig> {
  return parseNodeConfig(await readConfigFile(path), path)
}

/**
 * Reads a configuration file that nobody else may write.
 *
 * @throws {@link ProgramError} `CONFIG_UNREADABLE`, `CONFIG_UNSAFE`.
 */
export async function readConfigFile(path: string): Promise<string> {
  const unreadable = (cause: unknown) => new ProgramError('CONFIG_UNREADABLE', unreadableText(path, cause), { cause })
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw unreadable(cause)
  })
  try {
    const status = await file.stat()
    if (isWritableByOthers(status)) {
      throw new ProgramError(
        'CONFIG_UNSAFE',
        `others may write ${path}: give it to root or to this user, and chmod go-w it`,
      )
    }
    return await file.readFile('utf8').catch((cause: unknown) => {
      throw unreadable(cause)
    })
  } finally {
    await file.close()
  }
}

/**
 * Reads a small secret file as bytes, never as a string. One newline at its end is no part of the secret.
 *
 * @param path - a regular file of 1 to 4096 bytes, not readable by everybody, and writable by nobody but root or this user. A
 *   group may read it, as it may a mounted Kubernetes Secret.
 * @param options.mayBeReadByAll - where somebody else has decided that everybody may: the token of a pod's service account. Default: no.
 * @throws {@link ProgramError} `SECRET_FILE_UNREADABLE`, `SECRET_FILE_UNSAFE`, `SECRET_FILE_SIZE`.
 */
export async function readSecretFile(
  path: string,
  { mayBeReadByAll = false }: { readonly mayBeReadByAll?: boolean } = {},
): Promise<Secret> {
  // O_NONBLOCK: a pipe in the file's place must not hang the program.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw new ProgramError('SECRET_FILE_UNREADABLE', `cannot read ${path}: ${reason(cause)}`, { cause })
  })
  try {
    const status = await file.stat()
    if (!status.isFile()) throw new ProgramError('SECRET_FILE_UNREADABLE', `${path} is not a regular file`)
    if (((status.mode & S_IRWXO) !== 0 && !mayBeReadByAll) || isWritableByOthers(status)) {
      throw new ProgramError(
        'SECRET_FILE_UNSAFE',
        `${path} is open to others: give it to root or to this user, and chmod g-w,o= it`,
      )
    }
    const bytes = Buffer.alloc(MAX_SECRET_FILE_BYTES + 1)
    try {
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
      const byteLength = bytes[bytesRead - 1] === 0x0a ? bytesRead - 1 : bytesRead
      if (byteLength < 1 || byteLength > MAX_SECRET_FILE_BYTES) {
        throw new ProgramError('SECRET_FILE_SIZE', `${path} must hold 1 to ${MAX_SECRET_FILE_BYTES} bytes`)
      }
      return new Secret(Uint8Array.from(bytes.subarray(0, byteLength)))
    } finally {
      bytes.fill(0)
    }
  } finally {
    await file.close()
  }
}

/** Whether somebody else than root and this user may change a file or folder. */
export function isWritableByOthers(status: Stats): boolean {
  return (status.mode & (S_IWGRP | S_IWOTH)) !== 0 || belongsToOthers(status)
}

/** Whether a file or folder belongs to somebody else than root and this user. */
export function belongsToOthers({ uid }: Stats): boolean {
  return uid !== ROOT_UID && uid !== process.geteuid?.()
}

function unreadableText(path: string, cause: unknown): string {
  if (!hasErrorCode(cause, 'ENOENT')) return `cannot read the configuration ${path}: ${reason(cause)}`
  return `there is no configuration ${path}: write it, or name another one with --config FILE`
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
