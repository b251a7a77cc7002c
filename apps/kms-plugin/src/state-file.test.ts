import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeState, type KmsState, MAX_STATE_BYTES } from '@sealwright/kms-v2'
import { stateFile } from './state-file.ts'
import { versionOf } from './testing/scripted-backend.ts'

const state: KmsState = {
  provider: 'transit',
  clusterId: 'lab',
  life: {
    versions: [{ ...versionOf(1), sample: Uint8Array.of(1, 2, 3), phase: 'active' }],
    ...{ former: [{ ...versionOf(2), sample: null }], stableObservations: 2 },
  },
}

let parent: string
let folder: string
let path: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'kms-state-'))
  folder = join(parent, 'state')
  path = join(folder, 'kms-state.json')
})

afterEach(async () => {
  await rm(parent, { recursive: true })
})

const open = () => stateFile(folder, () => 42)

const STRANGER = 65_534
/** Only root can give something away. */
const givenAway: [string, () => Promise<unknown>][] =
  process.geteuid?.() === 0
    ? [
        [
          'belongs to somebody else',
          async () => {
            await writeFile(path, encodeState(state), { mode: 0o600 })
            await chown(path, STRANGER, STRANGER)
          },
        ],
        ['lies in a folder of somebody else', () => chown(folder, STRANGER, STRANGER)],
      ]
    : []

describe('a state file', () => {
  it('is not there at first, and is read as it was written', async () => {
    expect(await open().read()).toEqual({ kind: 'none' })
    await open().write(state)
    expect(await open().read()).toEqual({ kind: 'read', state })
    expect(await readdir(folder)).toEqual(['kms-state.json'])
  })

  it('is moved aside if it is damaged, never lost', async () => {
    await mkdir(folder, { mode: 0o700 })
    await writeFile(path, '{"format":')
    const found = await open().read()
    expect(found).toMatchObject({ kind: 'damaged', movedTo: `${path}.damaged-42` })
    expect(await readFile(`${path}.damaged-42`, 'utf8')).toBe('{"format":')
    expect(await open().read()).toEqual({ kind: 'none' })
  })

  it('of a newer program is left alone', async () => {
    await mkdir(folder, { mode: 0o700 })
    const newer = encodeState(state).replace('"formatVersion": 1', '"formatVersion": 2')
    await writeFile(path, newer)
    const file = open()
    expect(await file.read()).toMatchObject({ kind: 'unusable', cause: { code: 'KMS_STATE_FROM_FUTURE' } })
    await expect(file.write(state)).rejects.toMatchObject({ code: 'KMS_STATE_FROM_FUTURE' })
    expect(await readFile(path, 'utf8')).toBe(newer)
  })

  it('that is longer than a state can be is not read at all', async () => {
    await mkdir(folder, { mode: 0o700 })
    await writeFile(path, '')
    await truncate(path, MAX_STATE_BYTES + 1)
    expect(await open().read()).toMatchObject({ kind: 'damaged', cause: { code: 'KMS_STATE_MALFORMED' } })
  })

  it.each<[string, () => Promise<unknown>]>([
    ['is a pipe', () => Promise.resolve(execFileSync('mkfifo', [path]))],
    ['is a folder', () => mkdir(path)],
    ['is a link to a device that never ends', () => symlink('/dev/zero', path)],
    ['is a link to a good state', () => symlink(join(parent, 'good'), path)],
    ['may be written by its group', () => rewrite(0o660)],
    ['may be written by everybody', () => rewrite(0o602)],
    ['lies in a folder that its group may write', () => chmod(folder, 0o770)],
    ['lies in a folder that everybody may write', () => chmod(folder, 0o1777)],
    ...givenAway,
  ])('that %s is neither read nor written over', async (_what, harm) => {
    await open().write(state)
    await rm(path)
    await writeFile(join(parent, 'good'), encodeState(state), { mode: 0o600 })
    await harm()
    const file = open()
    expect(await file.read()).toMatchObject({ kind: 'unusable', cause: { code: 'KMS_STATE_UNSAFE' } })
    const before = await readdir(folder)
    await expect(file.write(state)).rejects.toMatchObject({ code: 'KMS_STATE_UNSAFE' })
    expect(await readdir(folder)).toEqual(before)
  })

  /** A good state that is open to others. */
  async function rewrite(mode: number): Promise<void> {
    await writeFile(path, encodeState(state))
    await chmod(path, mode)
  }

  it('is not written into a folder that others may write, though there was no state', async () => {
    const file = open()
    expect(await file.read()).toEqual({ kind: 'none' })
    await mkdir(folder)
    await chmod(folder, 0o777)
    await expect(file.write(state)).rejects.toMatchObject({ code: 'KMS_STATE_UNSAFE' })
    expect(await readdir(folder)).toEqual([])
  })

  it('is written where one was cut off long ago, which leaves nothing behind', async () => {
    await open().write(state)
    const leftover = `${path}.0123456789abcdef.tmp`
    await writeFile(leftover, '{"format":')
    await utimes(leftover, 0, 0)
    const later = { ...state, clusterId: 'later' }
    await open().write(later)
    expect(await open().read()).toEqual({ kind: 'read', state: later })
    expect(await readdir(folder)).toEqual(['kms-state.json'])
  })

  it('cannot be written into a folder that is a file', async () => {
    await writeFile(folder, '')
    await expect(open().write(state)).rejects.toMatchObject({ code: 'EEXIST' })
    await chmod(folder, 0o600)
  })
})
