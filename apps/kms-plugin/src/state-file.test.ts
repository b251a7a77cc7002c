import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeState, type KmsState } from '@sealwright/kms-v2'
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

describe('a state file', () => {
  it('is not there at first, and is read as it was written', async () => {
    expect(await open().read()).toEqual({ kind: 'none' })
    await open().write(state)
    expect(await open().read()).toEqual({ kind: 'read', state })
    expect(await readdir(folder)).toEqual(['kms-state.json'])
  })

  it('is moved aside if it is damaged, never lost', async () => {
    await mkdir(folder)
    await writeFile(path, '{"format":')
    const found = await open().read()
    expect(found).toMatchObject({ kind: 'damaged', movedTo: `${path}.damaged-42` })
    expect(await readFile(`${path}.damaged-42`, 'utf8')).toBe('{"format":')
    expect(await open().read()).toEqual({ kind: 'none' })
  })

  it('of a newer program is left alone', async () => {
    await mkdir(folder)
    const newer = encodeState(state).replace('"formatVersion": 1', '"formatVersion": 2')
    await writeFile(path, newer)
    const file = open()
    expect(await file.read()).toMatchObject({ kind: 'unusable', cause: { code: 'KMS_STATE_FROM_FUTURE' } })
    await file.write(state)
    expect(await readFile(path, 'utf8')).toBe(newer)
  })

  it('that is a pipe does not hang the start', async () => {
    await mkdir(folder)
    execFileSync('mkfifo', [path])
    expect((await open().read()).kind).toBe('damaged')
  })

  it('that is a folder is left alone', async () => {
    await mkdir(path, { recursive: true })
    expect((await open().read()).kind).toBe('unusable')
  })

  it('is never half written: a link in the place of the new one does not lead elsewhere', async () => {
    await open().write(state)
    const elsewhere = join(parent, 'elsewhere')
    await writeFile(elsewhere, 'precious')
    await symlink(elsewhere, `${path}.new`)
    await expect(open().write(state)).rejects.toMatchObject({ code: 'ELOOP' })
    expect(await readFile(elsewhere, 'utf8')).toBe('precious')
  })

  it('cannot be written into a folder that is a file', async () => {
    await writeFile(folder, '')
    await expect(open().write(state)).rejects.toMatchObject({ code: 'EEXIST' })
    await chmod(folder, 0o600)
  })
})
