import { execFileSync } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadNodeConfig, readSecretFile } from './index.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pf-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

async function secretFile(content: string | Uint8Array, mode = 0o600): Promise<string> {
  const path = join(folder, 'pin')
  await writeFile(path, content)
  await chmod(path, mode)
  return path
}

describe('a secret file', () => {
  it.each([
    ['as it is', '1234', '1234'],
    ['without the newline that editors add', '1234\n', '1234'],
    ['with every other space', ' 12 34 \n\n', ' 12 34 \n'],
  ])('is read %s', async (_what, content, expected) => {
    const secret = await readSecretFile(await secretFile(content))
    expect(secret.reveal(bytes => Buffer.from(bytes).toString())).toBe(expected)
  })

  it('may be readable by a group, as mounted secrets are', async () => {
    expect((await readSecretFile(await secretFile('1234', 0o440))).byteLength).toBe(4)
  })

  it.each([
    ['everybody can read it', 0o604],
    ['everybody can write it', 0o602],
    ['its group can write it', 0o660],
  ])('is refused when %s', async (_what, mode) => {
    await expect(readSecretFile(await secretFile('1234', mode))).rejects.toMatchObject({ code: 'SECRET_FILE_UNSAFE' })
  })

  it.each([
    ['it is empty', ''],
    ['it is only a newline', '\n'],
    ['it is longer than any secret', 'x'.repeat(4097)],
  ])('is refused when %s', async (_what, content) => {
    await expect(readSecretFile(await secretFile(content))).rejects.toMatchObject({ code: 'SECRET_FILE_SIZE' })
  })

  it('may have 4096 bytes', async () => {
    expect((await readSecretFile(await secretFile('x'.repeat(4096)))).byteLength).toBe(4096)
  })

  it('does not hang the program when a pipe is in its place', async () => {
    const path = join(folder, 'pin')
    execFileSync('mkfifo', ['-m', '600', path])
    await expect(readSecretFile(path)).rejects.toMatchObject({ code: 'SECRET_FILE_UNREADABLE' })
  })

  it('is missed by its name', async () => {
    await expect(readSecretFile(join(folder, 'absent'))).rejects.toMatchObject({
      code: 'SECRET_FILE_UNREADABLE',
      message: expect.stringContaining('absent') as string,
    })
  })
})

describe('a configuration file', () => {
  it('is read and checked', async () => {
    const path = join(folder, 'node.yaml')
    await writeFile(path, 'seals: [{ name: tpm, type: tpm, priority: 1 }]')
    expect((await loadNodeConfig(path)).seals).toHaveLength(1)
    await writeFile(path, 'seals: []')
    await expect(loadNodeConfig(path)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })

  it.each([0o664, 0o646])('is refused with mode %o: whoever writes it chooses the TPM and the store', async mode => {
    const path = join(folder, 'node.yaml')
    await writeFile(path, 'seals: [{ name: tpm, type: tpm, priority: 1 }]')
    await chmod(path, mode)
    await expect(loadNodeConfig(path)).rejects.toMatchObject({ code: 'CONFIG_UNSAFE' })
  })

  it('is missed by its name', async () => {
    const absent = join(folder, 'absent')
    await expect(loadNodeConfig(absent)).rejects.toMatchObject({
      code: 'CONFIG_UNREADABLE',
      message: `there is no configuration ${absent}: write it, or name another one with --config FILE`,
    })
    await expect(loadNodeConfig(folder)).rejects.toMatchObject({
      code: expect.stringMatching(/^CONFIG_(UNREADABLE|UNSAFE)$/) as unknown,
    })
  })
})
