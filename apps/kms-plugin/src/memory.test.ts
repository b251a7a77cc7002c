import { type KeyLife, type KmsState } from '@sealwright/kms-v2'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KmsPluginError } from './errors.ts'
import { keyMemory, rememberedLife } from './memory.ts'
import { pluginMetrics } from './metrics.ts'
import { type StateFile, stateFile } from './state-file.ts'
import { versionOf } from './testing/scripted-backend.ts'

const owner = { clusterId: 'lab', provider: 'transit' } as const
const lifeOf = (version: number): KeyLife => ({
  versions: [{ ...versionOf(version), sample: null, phase: 'active' }],
  ...{ former: [], stableObservations: 1, doubts: 2 },
  trouble: { kind: 'unusable' },
})

describe('what is remembered of a key', () => {
  const { trouble, doubts, ...life } = lifeOf(1)

  it('is taken without its trouble, which is looked for anew', () => {
    expect([trouble, doubts]).not.toEqual([null, 0])
    expect(rememberedLife({ kind: 'read', state: { ...owner, life } }, owner)).toEqual({
      ...life,
      ...{ doubts: 0, trouble: null },
    })
  })

  it('is nothing if it could not be read', () => {
    expect(rememberedLife({ kind: 'none' }, owner)).toBeNull()
    expect(rememberedLife({ kind: 'damaged', movedTo: null, cause: null }, owner)).toBeNull()
    expect(rememberedLife({ kind: 'unusable', cause: null }, owner)).toBeNull()
  })

  it.each([{ clusterId: 'other' }, { provider: 'keyring' as const }])('is refused for %o', change => {
    const state: KmsState = { ...owner, ...change, life }
    expect(() => rememberedLife({ kind: 'read', state }, owner)).toThrow(KmsPluginError)
  })
})

describe('a memory', () => {
  /** A file whose writes end when a test says so. */
  function slowFile() {
    const written: KmsState[] = []
    const pending: { state: KmsState; end: (failure?: Error) => void }[] = []
    const file: StateFile = {
      read: () => Promise.resolve({ kind: 'none' }),
      write: state =>
        new Promise((resolve, reject) => {
          pending.push({
            state,
            end: failure => {
              if (failure !== undefined) {
                reject(failure)
                return
              }
              written.push(state)
              resolve()
            },
          })
        }),
    }
    return { file, written, pending }
  }
  const versionsOf = (states: readonly KmsState[]) => states.map(({ life }) => life.versions[0]?.version)

  it('writes one after another, and of those that wait only the last', async () => {
    const { file, written, pending } = slowFile()
    const memory = keyMemory(file, owner, () => undefined)
    for (const version of [1, 2, 3]) memory.remember(lifeOf(version))
    expect(pending).toHaveLength(1)
    pending[0]?.end()
    await new Promise(setImmediate)
    pending[1]?.end()
    await memory.settled()
    expect(versionsOf(written)).toEqual([1, 3])
  })

  it('says what failed, and writes it when it is told to try again', async () => {
    const { file, written, pending } = slowFile()
    const told: unknown[] = []
    const memory = keyMemory(file, owner, failure => told.push(failure))
    memory.remember(lifeOf(1))
    const failure = new Error('full')
    pending[0]?.end(failure)
    await memory.settled()
    expect([told, versionsOf(written)]).toEqual([[failure], []])
    memory.tryAgain()
    pending[1]?.end()
    await memory.settled()
    expect([told, versionsOf(written)]).toEqual([[failure, null], [1]])
    memory.tryAgain()
    expect(pending).toHaveLength(2)
  })

  it('says that nothing is written while the state is left alone, each time', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'kms-memory-'))
    try {
      const folder = join(parent, 'state')
      const path = join(folder, 'kms-state.json')
      await mkdir(folder, { mode: 0o700 })
      await writeFile(path, JSON.stringify({ format: 'sealwright kms state', formatVersion: 1000 }), { mode: 0o600 })
      const metrics = pluginMetrics()
      const failures: unknown[] = []
      const foundFile = stateFile(folder, () => 0)
      expect(await foundFile.read()).toMatchObject({ kind: 'unusable' })
      const memory = keyMemory(foundFile, owner, failure => {
        metrics.setStateWritten(failure === null)
        failures.push(failure)
      })
      memory.remember(lifeOf(1))
      await memory.settled()
      memory.tryAgain()
      await memory.settled()
      expect(failures).toMatchObject([{ code: 'KMS_STATE_FROM_FUTURE' }, { code: 'KMS_STATE_FROM_FUTURE' }])
      expect(await metrics.text()).toMatch(/^sealwright_kms_state_written 0$/m)
      expect(await readFile(path, 'utf8')).toContain('1000')
    } finally {
      await rm(parent, { recursive: true })
    }
  })
})
