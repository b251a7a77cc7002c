import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { umask } from 'node:process'
import { openNewFile, replaceFile, syncFolder } from './index.ts'
import { createFile } from './temporary-file.ts'

const MODE = 0o600
const HOUR_SECONDS = 3_600
const isRoot = process.geteuid?.() === 0

let folder: TemporaryFolder
let path: string

beforeEach(async () => {
  folder = await temporaryFolder()
  path = folder.join('state.json')
})

afterEach(async () => {
  await folder.remove()
})

const names = () => readdirSync(folder.path).sort()
const content = () => readFileSync(path, 'utf8')
const modeOf = (file: string) => statSync(file).mode & 0o777

describe('a file that is replaced', () => {
  it('is made if there is none, and written anew if there is one', async () => {
    await replaceFile(path, 'old', { mode: MODE })
    expect(content()).toBe('old')
    await replaceFile(path, Buffer.from('new'), { mode: MODE })
    expect(content()).toBe('new')
    expect(names()).toEqual(['state.json'])
  })

  it('has the mode that was asked for, whatever the umask and the old mode', async () => {
    writeFileSync(path, 'old', { mode: 0o400 })
    const earlier = umask(0o077)
    try {
      await replaceFile(path, 'new', { mode: 0o644 })
    } finally {
      umask(earlier)
    }
    expect(modeOf(path)).toBe(0o644)
  })

  it('belongs to whom it is given', async () => {
    // Only root can give a file away: others give it to themselves.
    const userId = isRoot ? 12_345 : (process.geteuid?.() ?? -1)
    const groupId = isRoot ? 54_321 : (process.getegid?.() ?? -1)
    await replaceFile(path, 'new', { mode: MODE, owner: { userId, groupId } })
    const { uid, gid } = statSync(path)
    expect([uid, gid, modeOf(path)]).toEqual([userId, groupId, MODE])
  })

  it('is proven by what was read back, while the old one is still in its place', async () => {
    writeFileSync(path, 'old')
    const seen: string[] = []
    await replaceFile(path, 'new', {
      mode: MODE,
      prove: bytes => {
        seen.push(Buffer.from(bytes).toString(), content())
        return Promise.resolve()
      },
    })
    expect(seen).toEqual(['new', 'old'])
  })

  it('stays as it was if the proof fails, whose error the caller hears', async () => {
    writeFileSync(path, 'old')
    const refused = new Error('it does not open')
    await expect(replaceFile(path, 'new', { mode: MODE, prove: () => Promise.reject(refused) })).rejects.toBe(refused)
    expect(content()).toBe('old')
    expect(names()).toEqual(['state.json'])
  })

  it.each<[string, (controller: AbortController) => Promise<void>]>([
    ['before it', () => Promise.resolve()],
    [
      'during the proof',
      controller => {
        controller.abort(new Error('told to stop'))
        return Promise.resolve()
      },
    ],
  ])('stays as it was if the caller is told to stop %s', async (when, prove) => {
    writeFileSync(path, 'old')
    const controller = new AbortController()
    if (when === 'before it') controller.abort(new Error('told to stop'))
    const replacing = replaceFile(path, 'new', {
      mode: MODE,
      prove: () => prove(controller),
      signal: controller.signal,
    })
    await expect(replacing).rejects.toThrow('told to stop')
    expect(content()).toBe('old')
    expect(names()).toEqual(['state.json'])
  })

  it('leaves nothing behind if it cannot take its place', async () => {
    mkdirSync(join(path, 'not-empty'), { recursive: true })
    await expect(replaceFile(path, 'new', { mode: MODE })).rejects.toMatchObject({ code: 'EISDIR' })
    expect(names()).toEqual(['state.json'])
  })

  it('is not made where there is no folder', async () => {
    await expect(replaceFile(folder.join('absent/file'), 'new', { mode: MODE })).rejects.toMatchObject({
      code: 'ENOENT',
    })
  })

  it('takes the place of a link, and nothing is written where that leads', async () => {
    const elsewhere = folder.join('elsewhere')
    writeFileSync(elsewhere, 'precious')
    symlinkSync(elsewhere, path)
    await replaceFile(path, 'new', { mode: MODE })
    expect(readFileSync(elsewhere, 'utf8')).toBe('precious')
    expect(lstatSync(path).isFile()).toBe(true)
  })

  it('is one of both, whole, when many write at once', async () => {
    const contents = Array.from({ length: 20 }, (_, index) => String(index).repeat(100_000))
    await Promise.all(contents.map(each => replaceFile(path, each, { mode: MODE })))
    expect(contents).toContain(content())
    expect(names()).toEqual(['state.json'])
  })

  it('is the old one, whole, where the writer was killed; what that left goes an hour later, and nothing else does', async () => {
    writeFileSync(path, 'old')
    const source = `
      import { replaceFile } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
      const prove = () => new Promise(() => { setInterval(() => undefined, 1000); process.stdout.write('proving') })
      await replaceFile(${JSON.stringify(path)}, 'new', { mode: 0o600, prove })`
    const writer = spawn(process.execPath, ['--input-type=module', '--eval', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(writer.stdout, 'data')
    writer.kill('SIGKILL')
    await once(writer, 'exit')
    expect(content()).toBe('old')
    const [leftover = ''] = names().filter(name => name !== 'state.json')
    expect(leftover).toMatch(/^state\.json\.[0-9a-f]{16}\.tmp$/)

    for (const name of ['other.json.0123456789abcdef.tmp', 'state.json.tmp', 'state.json.damaged-42']) {
      writeFileSync(folder.join(name), 'precious')
    }
    await replaceFile(path, 'new', { mode: MODE })
    expect(names()).toContain(leftover)

    const longAgo = Date.now() / 1_000 - HOUR_SECONDS - 1
    for (const name of names()) utimesSync(folder.join(name), longAgo, longAgo)
    await replaceFile(path, 'newer', { mode: MODE })
    expect(names()).toEqual([
      'other.json.0123456789abcdef.tmp',
      'state.json',
      'state.json.damaged-42',
      'state.json.tmp',
    ])
  })
})

describe('a temporary file', () => {
  it.each<[string, (elsewhere: string, at: string) => void]>([
    ['a link', symlinkSync],
    [
      'a link that leads nowhere',
      (elsewhere, at) => {
        symlinkSync(`${elsewhere}-not`, at)
      },
    ],
    ['another name of another file', linkSync],
    ['a pipe that nobody reads', (_elsewhere, at) => execFileSync('mkfifo', [at])],
    [
      'a folder',
      (_elsewhere, at) => {
        mkdirSync(at)
      },
    ],
  ])('is never %s', async (_what, lay) => {
    const elsewhere = folder.join('elsewhere')
    writeFileSync(elsewhere, 'precious', { mode: 0o640 })
    chmodSync(elsewhere, 0o640)
    lay(elsewhere, path)
    const before = names()
    await expect(createFile(path, MODE)).rejects.toMatchObject({ code: 'EEXIST' })
    expect([readFileSync(elsewhere, 'utf8'), modeOf(elsewhere)]).toEqual(['precious', 0o640])
    expect(names()).toEqual(before)
  })
})

describe('a new file', () => {
  it('has its name at once, and all of its content later', async () => {
    await using file = await openNewFile(path, { mode: MODE })
    expect(content()).toBe('')
    await file.fill('shares')
    expect([content(), modeOf(path)]).toEqual(['shares', MODE])
    expect(names()).toEqual(['state.json'])
  })

  it('that was not filled is given up', async () => {
    const file = await openNewFile(path, { mode: MODE })
    expect(names()).toEqual(['state.json'])
    await file[Symbol.asyncDispose]()
    expect(names()).toEqual([])
  })

  it('stays once it has its content, even if its folder cannot be flushed then, which the caller hears', () => {
    const source = `
      import { openNewFile } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
      await using file = await openNewFile(${JSON.stringify(path)}, { mode: 0o600 })
      await file.fill('shares').then(() => 'filled', error => error.name + ' ' + error.code).then(ended => process.stdout.write(ended))`
    // Names may be made and renamed in it; open(2) for the flush needs the right to read it, which root has by a capability.
    chmodSync(folder.path, 0o300)
    const asWhom = isRoot ? ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all', '--'] : []
    const ended = execFileSync('env', [...asWhom, process.execPath, '--input-type=module', '--eval', source])
    chmodSync(folder.path, 0o700)
    expect([ended.toString(), content()]).toEqual(['NotFlushedError EACCES', 'shares'])
    expect(names()).toEqual(['state.json'])
  })

  it.each(['fill', 'dispose'])('is never one that somebody has put in its place meanwhile: %s', async step => {
    const file = await openNewFile(path, { mode: MODE })
    rmSync(path)
    writeFileSync(path, 'precious')
    if (step === 'fill') await expect(file.fill('shares')).rejects.toMatchObject({ code: 'EEXIST' })
    await file[Symbol.asyncDispose]()
    expect(content()).toBe('precious')
    expect(names()).toEqual(['state.json'])
  })

  it('is made all the same where somebody has removed the empty one', async () => {
    await using file = await openNewFile(path, { mode: MODE })
    rmSync(path)
    await file.fill('shares')
    expect(content()).toBe('shares')
  })

  it('takes away what an earlier writer of the same name left when it was killed, an hour later', async () => {
    const leftover = `${path}.0123456789abcdef.tmp`
    writeFileSync(leftover, 'half')
    utimesSync(leftover, 0, 0)
    await using file = await openNewFile(path, { mode: MODE })
    await file.fill('shares')
    expect(names()).toEqual(['state.json'])
  })

  it('is never one that is there already', async () => {
    writeFileSync(path, 'precious')
    await expect(openNewFile(path, { mode: MODE })).rejects.toMatchObject({ code: 'EEXIST' })
    expect(content()).toBe('precious')
  })

  it('is had by one alone, where many want it', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => openNewFile(path, { mode: MODE })))
    const won = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    for (const file of won) await file[Symbol.asyncDispose]()
    expect(won).toHaveLength(1)
  })
})

describe('a folder that is flushed', () => {
  it('is a folder', async () => {
    await syncFolder(folder.path)
    writeFileSync(path, '')
    await expect(syncFolder(path)).rejects.toMatchObject({ code: 'ENOTDIR' })
  })
})
