import { execFileSync } from 'node:child_process'
import { chmod, mkdir, rename, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { type HandedKey, readHandedKey } from './handed-key.ts'
import { bootstrapError } from './testing/bootstrap-error.ts'
import { tempFolder, type TempFolder } from './testing/temp-folder.ts'

const KEY = Buffer.from('00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0ffb', 'hex')
const TEXT = KEY.toString('base64')

let folder: TempFolder
const at = (...names: string[]): string => join(folder.path, ...names)

/** Writes a file with exactly this mode, whatever the umask. */
async function put(path: string, text: string, mode = 0o600): Promise<void> {
  await writeFile(path, text)
  await chmod(path, mode)
}

beforeEach(async () => {
  folder = await tempFolder()
})

afterEach(async () => {
  await folder[Symbol.asyncDispose]()
})

function hexOf(handed: HandedKey | undefined): string | undefined {
  return handed?.sealKey.reveal(bytes => Buffer.from(bytes).toString('hex'))
}

describe('a handed seal key', () => {
  it('is read from a file', async () => {
    await put(at('key'), TEXT)
    const handed = await readHandedKey(at('key'))
    expect(hexOf(handed)).toBe(KEY.toString('hex'))
    expect(handed?.keyId).toBeUndefined()
  })

  it('is read from a folder, with the name that stands beside it', async () => {
    await put(at('seal-key'), TEXT)
    expect((await readHandedKey(folder.path))?.keyId).toBeUndefined()
    await put(at('key-id'), 'bootstrap-1')
    const handed = await readHandedKey(folder.path)
    expect(hexOf(handed)).toBe(KEY.toString('hex'))
    expect(handed?.keyId).toBe('bootstrap-1')
  })

  it('is read from a Secret as Kubernetes mounts it, key and name from the same version', async () => {
    await mountVersion('..2025_01_01', { 'seal-key': TEXT, 'key-id': 'one' })
    expect(await readHandedKey(folder.path)).toMatchObject({ keyId: 'one' })
    await mountVersion('..2025_01_02', { 'seal-key': TEXT })
    const handed = await readHandedKey(folder.path)
    expect(hexOf(handed)).toBe(KEY.toString('hex'))
    expect(handed?.keyId).toBeUndefined()
    expect(await readHandedKey(at('seal-key'))).toMatchObject({ keyId: undefined })
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
    await put(at('named/seal-key'), TEXT)
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
    await put(at('file'), TEXT)
    await symlink('loop', at('loop'))
    await expect(readHandedKey(at('file', 'seal-key'))).rejects.toEqual(
      bootstrapError('BOOTSTRAP_KEY_UNREADABLE', /ENOTDIR/),
    )
    await expect(readHandedKey(at('loop'))).rejects.toEqual(bootstrapError('BOOTSTRAP_KEY_UNREADABLE', /ELOOP/))
  })

  it('is refused when its file is huge, and no more than a little of it is read', async () => {
    await put(at('key'), TEXT)
    await truncate(at('key'), 2 ** 40)
    await expect(readHandedKey(at('key'))).rejects.toEqual(
      bootstrapError('BOOTSTRAP_KEY_LENGTH', /more than 4096 bytes/),
    )
  })

  it('is refused with a name that cannot be used', async () => {
    await put(at('seal-key'), TEXT)
    await put(at('key-id'), 'name\n')
    await expect(readHandedKey(folder.path)).rejects.toEqual(bootstrapError('BOOTSTRAP_KEY_ID'))
  })
})

describe('who else may reach the seal key', () => {
  const unsafe = (message: RegExp): unknown => bootstrapError('BOOTSTRAP_KEY_UNSAFE', message)

  it.each(['620', '602', '666'])('matters when they may write it: a file of mode %s is refused', async octal => {
    await put(at('seal-key'), TEXT, Number.parseInt(octal, 8))
    await expect(readHandedKey(at('seal-key'))).rejects.toEqual(unsafe(/others may write .*seal-key .*chmod go-w/))
    await expect(readHandedKey(folder.path)).rejects.toEqual(unsafe(/others may write .*seal-key/))
  })

  it('matters when they may write the file that a link leads to, or the name of the key', async () => {
    await put(at('elsewhere'), TEXT)
    await symlink('elsewhere', at('seal-key'))
    await chmod(at('elsewhere'), 0o660)
    await expect(readHandedKey(folder.path)).rejects.toEqual(unsafe(/seal-key/))
    await chmod(at('elsewhere'), 0o600)
    await put(at('key-id'), 'one')
    await chmod(at('key-id'), 0o606)
    await expect(readHandedKey(folder.path)).rejects.toEqual(unsafe(/key-id/))
  })

  it.each(['770', '707', '1777'])('matters when they may write in its folder: mode %s is refused', async octal => {
    await put(at('seal-key'), TEXT)
    await chmod(folder.path, Number.parseInt(octal, 8))
    await expect(readHandedKey(folder.path)).rejects.toEqual(unsafe(/others may write/))
  })

  it('does not matter in a folder without a seal key', async () => {
    await chmod(folder.path, 0o777)
    await expect(readHandedKey(folder.path)).resolves.toBeUndefined()
  })

  it('is as it should be where Kubernetes mounts a Secret: all may write in a sticky folder, and none what is read', async () => {
    await mountVersion('..2025_01_01', { 'seal-key': TEXT, 'key-id': 'one' }, 0o644)
    await chmod(folder.path, 0o1777)
    expect(await readHandedKey(folder.path)).toMatchObject({ keyId: 'one', warnings: [expect.any(String)] })
    await chmod(folder.path, 0o777)
    await expect(readHandedKey(folder.path)).rejects.toEqual(unsafe(/others may write .*mode 0777/))
    await chmod(folder.path, 0o3777)
    await chmod(at('..2025_01_01'), 0o775)
    await expect(readHandedKey(folder.path)).rejects.toEqual(unsafe(/others may write .*\.\.data .*mode 0775/))
  })

  it.each([
    ['400', []],
    ['600', []],
    ['440', [/others may read the plain seal key in .*seal-key \(mode 0440\)/]],
    ['604', [/mode 0604/]],
    ['644', [/mode 0644/]],
  ])('is told when they may read it: mode %s', async (octal, expected) => {
    await put(at('seal-key'), TEXT, Number.parseInt(octal, 8))
    const warnings = expected.map(pattern => expect.stringMatching(pattern) as unknown)
    for (const path of [folder.path, at('seal-key')]) expect(await readHandedKey(path)).toMatchObject({ warnings })
  })
})

/** Switches the folder to another version of a Secret, as the kubelet does. */
async function mountVersion(name: string, files: Record<string, string>, mode?: number): Promise<void> {
  await mkdir(at(name), { mode: 0o755 })
  for (const [file, text] of Object.entries(files)) {
    await put(at(name, file), text, mode)
    await symlink(join('..data', file), at(file)).catch((error: unknown) => {
      expect(error).toMatchObject({ code: 'EEXIST' })
    })
  }
  await symlink(name, at('..data_tmp'))
  await rename(at('..data_tmp'), at('..data'))
}
