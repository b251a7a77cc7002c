import { constants } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { parseNodeConfig, type NodeConfig } from '@sealwright/node-config'
import { Secret } from '@sealwright/secret'
import { ProgramError } from './errors.ts'

const MAX_SECRET_FILE_BYTES = 4096

/**
 * Reads and checks a node's configuration file.
 *
 * @throws {@link ProgramError} `CONFIG_UNREADABLE`; and what `parseNodeConfig` throws.
 */
export async function loadNodeConfig(path: string): Promise<NodeConfig> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ProgramError('CONFIG_UNREADABLE', `cannot read the configuration ${path}: ${reason(cause)}`, { cause })
  })
  return parseNodeConfig(text, path)
}

/**
 * Reads a small secret file as bytes, never as a string. One newline at its end is no part of the secret.
 *
 * @param path - a regular file of 1 to 4096 bytes that other users cannot read.
 * @throws {@link ProgramError} `SECRET_FILE_UNREADABLE`, `SECRET_FILE_UNSAFE`, `SECRET_FILE_SIZE`.
 */
export async function readSecretFile(path: string): Promise<Secret> {
  // O_NONBLOCK: a pipe in the file's place must not hang the program.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw new ProgramError('SECRET_FILE_UNREADABLE', `cannot read ${path}: ${reason(cause)}`, { cause })
  })
  try {
    const status = await file.stat()
    if (!status.isFile()) throw new ProgramError('SECRET_FILE_UNREADABLE', `${path} is not a regular file`)
    if ((status.mode & 0o007) !== 0) {
      throw new ProgramError('SECRET_FILE_UNSAFE', `every user can read ${path}: run chmod o= on it`)
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

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
