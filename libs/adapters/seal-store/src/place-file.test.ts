import { execFileSync } from 'node:child_process'
import { chmod, mkdir, readFile, stat, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PLACED_FILE_MAX_BYTES, placeFile, type PlaceOutcome } from './place-file.ts'
import { namesIn, storeError } from './testing/sample-store.ts'
import { tempFolder } from './testing/temp-folder.ts'

const ownerLine = '# Sealwright connector'
const script = (body: string): Uint8Array => Buffer.from(`#!/bin/sh\n${ownerLine}: started by OpenBao\n${body}\n`)

function place(path: string, bytes: Uint8Array, { replace = false } = {}): Promise<PlaceOutcome> {
  return placeFile({ path, bytes, mode: 0o555, ownerLine, replace })
}

describe('placing a file', () => {
  it('places a program that runs, with exactly its mode whatever the umask', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'connector')
    const umask = process.umask(0o777)
    try {
      await expect(place(path, script('echo it runs'))).resolves.toEqual({ kind: 'placed' })
    } finally {
      process.umask(umask)
    }
    expect((await stat(path)).mode & 0o7777).toBe(0o555)
    expect(execFileSync(path, { encoding: 'utf8' })).toBe('it runs\n')
    expect(await namesIn(folder.path)).toEqual(['connector'])
  })

  it('touches nothing when content and mode are right already', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'connector')
    await place(path, script('one'))
    const before = await stat(path, { bigint: true })
    await expect(place(path, script('one'))).resolves.toEqual({ kind: 'unchanged' })
    const after = await stat(path, { bigint: true })
    expect([after.ino, after.ctimeNs]).toEqual([before.ino, before.ctimeNs])
  })

  it('leaves another version of ours as it is, and gives its content, until it is told to replace it', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'connector')
    await place(path, script('one'))
    await chmod(path, 0o755)
    const before = await stat(path, { bigint: true })
    await expect(place(path, script('two'))).resolves.toEqual({ kind: 'kept', found: new Uint8Array(script('one')) })
    const after = await stat(path, { bigint: true })
    expect([after.ino, after.ctimeNs]).toEqual([before.ino, before.ctimeNs])
    await expect(place(path, script('two'), { replace: true })).resolves.toEqual({ kind: 'replaced' })
    expect(await readFile(path, 'utf8')).toContain('two')
    expect((await stat(path)).mode & 0o7777).toBe(0o555)
  })

  it('replaces a file of the same content by a new one with the right mode: nobody’s hash is wrong after', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'connector')
    await place(path, script('one'))
    await chmod(path, 0o755)
    await expect(place(path, script('one'))).resolves.toEqual({ kind: 'replaced' })
    expect((await stat(path)).mode & 0o7777).toBe(0o555)
  })

  it.each(['', '#!/bin/sh\necho mine\n', `#!/bin/sh\n\n${ownerLine}\n`, `#!/bin/sh\n ${ownerLine}\n`])(
    'leaves a file that is not ours alone: %j',
    async content => {
      await using folder = await tempFolder()
      const path = join(folder.path, 'connector')
      await writeFile(path, content)
      await expect(place(path, script('one'))).rejects.toEqual(storeError('STORE_FILE_NOT_OURS'))
      expect(await readFile(path, 'utf8')).toBe(content)
    },
  )

  it('leaves links, folders, pipes and huge files alone, and never blocks', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'connector')
    await symlink('elsewhere', path)
    await expect(place(path, script('one'))).rejects.toEqual(storeError('STORE_NOT_A_FILE'))
    await unlink(path)
    execFileSync('mkfifo', [path])
    await expect(place(path, script('one'))).rejects.toEqual(storeError('STORE_NOT_A_FILE'))
    await unlink(path)
    await writeFile(path, new Uint8Array(PLACED_FILE_MAX_BYTES + 1))
    await expect(place(path, script('one'))).rejects.toEqual(storeError('STORE_TOO_LARGE'))
    await unlink(path)
    await mkdir(path)
    await expect(place(path, script('one'))).rejects.toEqual(storeError('STORE_NOT_A_FILE'))
    expect(await namesIn(folder.path)).toEqual(['connector'])
  })

  it('refuses a missing folder, an oversized file, and bytes without their own owner line', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'connector')
    await expect(place(join(path, 'x'), script('one'))).rejects.toEqual(storeError('STORE_NOT_FOUND', /: make it, or/))
    await expect(place(path, new Uint8Array(PLACED_FILE_MAX_BYTES + 1))).rejects.toEqual(storeError('STORE_TOO_LARGE'))
    await expect(place(path, Buffer.from('#!/bin/sh\n'))).rejects.toThrow(TypeError)
    const noLine = { path, bytes: script('one'), mode: 0o555, ownerLine: '', replace: true }
    await expect(placeFile(noLine)).rejects.toThrow(TypeError)
    expect(await namesIn(folder.path)).toEqual([])
  })

  it('ends with one whole file when many place at once', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'connector')
    const versions = Array.from({ length: 12 }, (_, index) => script(`echo ${index % 3}`))
    await Promise.all(versions.map(bytes => place(path, bytes, { replace: true })))
    const content = await readFile(path)
    expect(versions.some(bytes => Buffer.compare(bytes, content) === 0)).toBe(true)
    expect(await namesIn(folder.path)).toEqual(['connector'])
  })
})
