import { execFileSync } from 'node:child_process'
import { mkdir, rename, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { BootstrapError } from './errors.ts'
import { type HandedKey, parseKeyId, parseSealKey, readHandedKey } from './seal-key.ts'
import { tempFolder, type TempFolder } from './testing/temp-folder.ts'

const KEY = Buffer.from('00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0ffb', 'hex')
const TEXT = KEY.toString('base64')

/** What a matcher of Jest compares a thrown error with. */
function bootstrapError(code: string, message = /./): unknown {
  return expect.objectContaining({
    name: 'BootstrapError',
    code,
    message: expect.stringMatching(message) as unknown,
  })
}

function hexOf(handed: HandedKey | undefined): string | undefined {
  return handed?.sealKey.reveal(bytes => Buffer.from(bytes).toString('hex'))
}

let folder: TempFolder
const at = (...names: string[]): string => join(folder.path, ...names)

beforeEach(async () => {
  folder = await tempFolder()
})

afterEach(async () => {
  await folder[Symbol.asyncDispose]()
})

describe('the text of a seal key', () => {
  it.each<[string, Uint8Array, string, RegExp]>([
    [
      '31 bytes',
      Buffer.from(KEY.subarray(1).toString('base64')),
      'BOOTSTRAP_KEY_LENGTH',
      /has 31 bytes .* must have 32/,
    ],
    [
      '33 bytes',
      Buffer.from(Buffer.concat([KEY, KEY.subarray(0, 1)]).toString('base64')),
      'BOOTSTRAP_KEY_LENGTH',
      /has 33 bytes .* must have 32/,
    ],
    [
      'the key in hex',
      Buffer.from(KEY.toString('hex')),
      'BOOTSTRAP_KEY_LENGTH',
      /has 48 bytes once its base64 is decoded/,
    ],
    ['an empty file', Buffer.alloc(0), 'BOOTSTRAP_KEY_LENGTH', /is empty/],
    ['more than any key needs', Buffer.alloc(4097, 'A'), 'BOOTSTRAP_KEY_LENGTH', /more than 4096 bytes/],
    ['a line feed at the end', Buffer.from(`${TEXT}\n`), 'BOOTSTRAP_KEY_NEWLINE', /has a line break.*base64 -w 0/],
    ['CRLF at the end', Buffer.from(`${TEXT}\r\n`), 'BOOTSTRAP_KEY_NEWLINE', /has a line break/],
    [
      'a line break inside',
      Buffer.from(`${TEXT.slice(0, 20)}\n${TEXT.slice(20)}`),
      'BOOTSTRAP_KEY_NEWLINE',
      /line break/,
    ],
    ['a line feed alone', Buffer.from('\n'), 'BOOTSTRAP_KEY_NEWLINE', /line break/],
    ['32 bare bytes', KEY, 'BOOTSTRAP_KEY_BASE64', /outside the alphabet/],
    [
      '32 bare bytes, a line feed among them',
      Buffer.from(KEY).fill(0x0a, 4, 5),
      'BOOTSTRAP_KEY_BASE64',
      /outside the alphabet/,
    ],
    ['a space at the end', Buffer.from(`${TEXT} `), 'BOOTSTRAP_KEY_BASE64', /not a multiple of 4/],
    ['no padding', Buffer.from(TEXT.replace('=', '')), 'BOOTSTRAP_KEY_BASE64', /not a multiple of 4/],
    [
      'the URL alphabet',
      Buffer.from(`${TEXT.slice(0, 42)}_=`),
      'BOOTSTRAP_KEY_BASE64',
      /offset 42 is outside the alphabet/,
    ],
    ['padding bits that are not zero', Buffer.from(`${TEXT.slice(0, 42)}t=`), 'BOOTSTRAP_KEY_BASE64', /padding bits/],
    ['base64 of base64', Buffer.from(Buffer.from(TEXT).toString('base64')), 'BOOTSTRAP_KEY_LENGTH', /has 44 bytes/],
  ])('is refused with its code: %s', (_, text, code, message) => {
    expect(() => parseSealKey(text)).toThrow(bootstrapError(code, message) as Error)
  })

  it('never stands in the error', () => {
    for (const text of [`${TEXT}\n`, TEXT.slice(0, 43), `${TEXT.slice(0, 42)}_=`, KEY.toString('hex')]) {
      let thrown: unknown
      try {
        parseSealKey(Buffer.from(text))
      } catch (error) {
        thrown = error
      }
      expect(thrown).toBeInstanceOf(BootstrapError)
      expect((thrown as BootstrapError).message).not.toContain(text.slice(0, 8))
    }
  })

  it('gives the 32 bytes, and leaves the text to the caller', () => {
    const text = Buffer.from(TEXT)
    expect(hexOf({ sealKey: parseSealKey(text), keyId: undefined })).toBe(KEY.toString('hex'))
    expect(text.toString()).toBe(TEXT)
  })
})

describe('a key id', () => {
  it.each(['', ' ', 'two words', 'line\n', 'ümlaut', 'x'.repeat(65), 'tab\t'])('%j is refused', text => {
    expect(() => parseKeyId(text)).toThrow(bootstrapError('BOOTSTRAP_KEY_ID') as Error)
  })

  it.each(['1', 'bootstrap-2025', '~', 'x'.repeat(64)])('%j is taken', text => {
    expect(parseKeyId(text)).toBe(text)
  })
})

describe('a handed seal key', () => {
  it('is read from a file', async () => {
    await writeFile(at('key'), TEXT)
    const handed = await readHandedKey(at('key'))
    expect(hexOf(handed)).toBe(KEY.toString('hex'))
    expect(handed?.keyId).toBeUndefined()
  })

  it('is read from a folder, with the name that stands beside it', async () => {
    await writeFile(at('seal-key'), TEXT)
    expect((await readHandedKey(folder.path))?.keyId).toBeUndefined()
    await writeFile(at('key-id'), 'bootstrap-1')
    const handed = await readHandedKey(folder.path)
    expect(hexOf(handed)).toBe(KEY.toString('hex'))
    expect(handed?.keyId).toBe('bootstrap-1')
  })

  it('is read from a Secret as Kubernetes mounts it, key and name from the same version', async () => {
    const version = async (name: string, files: Record<string, string>): Promise<void> => {
      await mkdir(at(name))
      for (const [file, text] of Object.entries(files)) await writeFile(at(name, file), text)
      await symlink(name, at('..data_tmp'))
      await rename(at('..data_tmp'), at('..data'))
    }
    await version('..2025_01_01', { 'seal-key': TEXT, 'key-id': 'one' })
    for (const file of ['seal-key', 'key-id']) await symlink(join('..data', file), at(file))
    expect(await readHandedKey(folder.path)).toMatchObject({ keyId: 'one' })
    await version('..2025_01_02', { 'seal-key': TEXT })
    const handed = await readHandedKey(folder.path)
    expect(hexOf(handed)).toBe(KEY.toString('hex'))
    expect(handed?.keyId).toBeUndefined()
  })

  it('is absent where there is nothing, a folder without it, or a link that leads nowhere', async () => {
    await expect(readHandedKey(at('nothing'))).resolves.toBeUndefined()
    await expect(readHandedKey(folder.path)).resolves.toBeUndefined()
    await symlink('..data/seal-key', at('seal-key'))
    await expect(readHandedKey(folder.path)).resolves.toBeUndefined()
    await expect(readHandedKey(at('seal-key'))).resolves.toBeUndefined()
  })

  it('is refused, without a wait, where a pipe, a socket, a device or a folder takes its place', async () => {
    execFileSync('mkfifo', [at('pipe')])
    await mkdir(at('folder/seal-key'), { recursive: true })
    await mkdir(at('named/key-id'), { recursive: true })
    await writeFile(at('named/seal-key'), TEXT)
    const server = createServer().listen(at('socket'))
    await once(server, 'listening')
    const unreadable = (message: RegExp): unknown => bootstrapError('BOOTSTRAP_KEY_UNREADABLE', message)
    await expect(readHandedKey(at('pipe'))).rejects.toEqual(unreadable(/pipe is not a regular file/))
    await expect(readHandedKey(at('socket'))).rejects.toEqual(unreadable(/socket cannot be read/))
    await expect(readHandedKey('/dev/null')).rejects.toEqual(unreadable(/not a regular file/))
    await expect(readHandedKey(at('folder'))).rejects.toEqual(unreadable(/seal-key is a folder/))
    await expect(readHandedKey(at('named'))).rejects.toEqual(unreadable(/key-id is a folder/))
    server.close()
  })

  it('is refused when the path cannot be followed', async () => {
    await writeFile(at('file'), TEXT)
    await symlink('loop', at('loop'))
    await expect(readHandedKey(at('file', 'seal-key'))).rejects.toEqual(
      bootstrapError('BOOTSTRAP_KEY_UNREADABLE', /ENOTDIR/),
    )
    await expect(readHandedKey(at('loop'))).rejects.toEqual(bootstrapError('BOOTSTRAP_KEY_UNREADABLE', /ELOOP/))
  })

  it('is refused when its file is huge, and no more than a little of it is read', async () => {
    await writeFile(at('key'), TEXT)
    await truncate(at('key'), 2 ** 40)
    await expect(readHandedKey(at('key'))).rejects.toEqual(
      bootstrapError('BOOTSTRAP_KEY_LENGTH', /more than 4096 bytes/),
    )
  })

  it('is refused with a name that cannot be used', async () => {
    await writeFile(at('seal-key'), TEXT)
    await writeFile(at('key-id'), 'name\n')
    await expect(readHandedKey(folder.path)).rejects.toEqual(bootstrapError('BOOTSTRAP_KEY_ID'))
  })
})
