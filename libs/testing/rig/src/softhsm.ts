import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { accessSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hasErrorCode } from '@sealwright/system-error'
import { RigError } from './error.ts'
import { SEARCH_PATH } from './process.ts'

const execute = promisify(execFile)

/** Where Debian's package libsofthsm2 puts the module, on every architecture. */
const MODULE_PATH = '/usr/lib/softhsm/libsofthsm2.so'
const PIN_DIGITS = 8
/** `softhsm2-util --import` reads a line of text: a zero byte or a line feed ends it, and the rest is left out without a word. */
const ENDS_OF_A_KEY = [0, 0x0a]

/** A token of SoftHSM. */
export type SoftHsmToken = {
  readonly label: string
  /** Of the user and of the security officer: digits, random. */
  readonly pin: string
  readonly soPin: string
  /** Holds the user's PIN and nothing else, mode 0600. */
  readonly pinFile: string
}

/** SoftHSM with tokens of its own. There is no process: the module works on files, in the process that loads it. */
export type SoftHsm = {
  readonly modulePath: string
  /** What a process needs to see these tokens and no others. */
  readonly environment: Readonly<Record<'SOFTHSM2_CONF', string>>
  /** The tokens, one folder each: whoever moves it away pulls them out. */
  readonly tokenDirectory: string
  /** Makes one more token. Two may have the same label. */
  addToken(label: string): Promise<SoftHsmToken>
  /**
   * Puts a copy of an AES key onto a token, as a key ceremony does on the HSMs of several nodes.
   *
   * @param key.bytes - no zero byte and no line feed among them: SoftHSM's tool takes the key to end there.
   * @param key.id - CKA_ID.
   * @throws {@link RigError} `RIG_INVALID`.
   */
  importAesKey(
    token: SoftHsmToken,
    key: { readonly bytes: Uint8Array; readonly id: Uint8Array; readonly label: string },
  ): Promise<void>
}

/**
 * Sets up SoftHSM without a token.
 *
 * @param options.directory - for everything it keeps. Made (0700) when missing.
 * @throws {@link RigError} `RIG_TOOL_MISSING` if it is not installed.
 */
export async function createSoftHsm({ directory }: { readonly directory: string }): Promise<SoftHsm> {
  const tokenDirectory = join(directory, 'tokens')
  const configPath = join(directory, 'softhsm2.conf')
  assertInstalled()
  await mkdir(tokenDirectory, { recursive: true, mode: 0o700 })
  await writeFile(
    configPath,
    `directories.tokendir = ${tokenDirectory}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = true\n`,
    { mode: 0o600 },
  )
  const environment = { SOFTHSM2_CONF: configPath }
  const utility = async (...args: readonly string[]): Promise<void> => {
    try {
      await execute('softhsm2-util', [...args], { env: { PATH: SEARCH_PATH, ...environment } })
    } catch (cause) {
      if (!hasErrorCode(cause, 'ENOENT')) throw cause
      throw missing(cause)
    }
  }
  let tokenCount = 0
  return {
    modulePath: MODULE_PATH,
    environment,
    tokenDirectory,
    addToken: async label => {
      tokenCount += 1
      const token = { label, pin: randomPin(), soPin: randomPin(), pinFile: join(directory, `pin-${tokenCount}`) }
      await utility('--init-token', '--free', '--label', label, '--so-pin', token.soPin, '--pin', token.pin)
      await writeFile(token.pinFile, token.pin, { mode: 0o600 })
      return token
    },
    importAesKey: async ({ label: tokenLabel, pin }, { bytes, id, label }) => {
      if (ENDS_OF_A_KEY.some(end => bytes.includes(end))) {
        throw new RigError('RIG_INVALID', 'a key for softhsm2-util must hold neither a zero byte nor a line feed')
      }
      const keyPath = join(directory, 'imported-key')
      await writeFile(keyPath, bytes, { mode: 0o600 })
      const name = ['--id', Buffer.from(id).toString('hex'), '--label', label]
      try {
        await utility('--import', keyPath, '--aes', '--token', tokenLabel, '--pin', pin, ...name)
      } finally {
        await rm(keyPath)
      }
    },
  }
}

function randomPin(): string {
  return Array.from({ length: PIN_DIGITS }, () => randomInt(10)).join('')
}

function assertInstalled(): void {
  try {
    accessSync(MODULE_PATH)
  } catch (cause) {
    throw missing(cause)
  }
}

function missing(cause: unknown): RigError {
  return new RigError('RIG_TOOL_MISSING', 'SoftHSM is not installed: run `npm run setup`', { cause })
}
