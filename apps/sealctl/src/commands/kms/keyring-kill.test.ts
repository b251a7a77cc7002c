import { spawn } from 'node:child_process'
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { keyringBackend, readStored } from '@sealwright/kms-backends'
import { type KeyringBackendConfig, parseKmsConfig } from '@sealwright/kms-config'
import { Secret } from '@sealwright/secret'
import { SEARCH_PATH, startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { SEAL_CONTEXT } from '../../seal-context.ts'

const PROGRAM = join(import.meta.dirname, '../../main.ts')
const KILLER = pathToFileURL(join(import.meta.dirname, 'testing/kill-at-write.ts')).href
/** Far more than any command here makes. */
const MOST_WRITES = 100
const LIMIT_MS = 240_000
const ASSOCIATED_DATA = new Uint8Array()
const { signal } = new AbortController()

let folder: TemporaryFolder
let swtpm: Swtpm

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

interface Configured {
  readonly path: string
  readonly backend: KeyringBackendConfig
}

/** A node with a store of this name. */
function configured(name: string): Configured {
  const seals = [{ name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: swtpm.socketPath }, deadlineMs: 10_000 }]
  const backend = { type: 'keyring', store: folder.join(name), seals }
  const text = JSON.stringify({ clusterId: 'test', backend, rotation: { activationDelayMs: 0 } })
  const path = folder.join(`${name}.yaml`)
  writeFileSync(path, text, { mode: 0o600 })
  const config = parseKmsConfig(text, path)
  if (config.backend.type !== 'keyring') throw new Error('another backend')
  return { path, backend: config.backend }
}

/**
 * Runs a command as a process of its own.
 *
 * @param killAtWrite - it is killed right before its change of the disk of this number; left out: it ends by itself.
 * @returns how it ended.
 */
async function sealctl(
  { path }: Configured,
  args: readonly string[],
  killAtWrite = Infinity,
): Promise<NodeJS.Signals | number | null> {
  const child = spawn(process.execPath, ['--import', KILLER, PROGRAM, 'kms', 'keyring', ...args, '--config', path], {
    stdio: 'ignore',
    env: { PATH: SEARCH_PATH, NODE_COMPILE_CACHE: folder.join('cache'), KILL_AT_WRITE: String(killAtWrite) },
  })
  const ended = Promise.withResolvers<NodeJS.Signals | number | null>()
  child.once('error', ended.reject)
  child.once('close', (code, endedBy) => {
    ended.resolve(endedBy ?? code)
  })
  return await ended.promise
}

/** What a kill has left, as the next program finds it. Random parts of names are left out. */
function shapeOf(store: string): string {
  if (!existsSync(store)) return 'none'
  const shape = readdirSync(store).map(name => {
    const bytes = readFileSync(join(store, name))
    // That of another temporary name is as good; the keyring itself is told apart by its content.
    const content = name === 'keyring' ? bytes.toString('hex') : bytes.byteLength
    return `${name.replace(/[0-9a-f]{16}/, 'random')} ${content}`
  })
  return shape.sort().join('\n')
}

/**
 * Kills a command at each of its changes of the disk, one after another, each time on a store that is as it was at first.
 *
 * @param check - looks at what was left; not again at what is as it was once already.
 * @returns at how many it was killed.
 */
async function killedAtEach(node: Configured, args: readonly string[], check: () => Promise<void>): Promise<number> {
  const { store } = node.backend
  const first = `${store}.first`
  if (existsSync(store)) cpSync(store, first, { recursive: true })
  const seen = new Set<string>()
  for (let write = 1; write <= MOST_WRITES; write += 1) {
    rmSync(store, { recursive: true, force: true })
    if (existsSync(first)) {
      cpSync(first, store, { recursive: true })
      chmodSync(store, 0o700)
    }
    const endedBy = await sealctl(node, args, write)
    if (endedBy !== 'SIGKILL') {
      expect(endedBy).toBe(0)
      return write - 1
    }
    const shape = shapeOf(store)
    if (!seen.has(shape)) await check()
    seen.add(shape)
  }
  throw new Error('it does not end')
}

/** Opens what the store has, as a KMS plugin does at its start, and decrypts all that was encrypted before. */
async function openedVersions({ backend: config }: Configured, before: Map<number, Uint8Array>): Promise<number> {
  await using backend = keyringBackend(config, SEAL_CONTEXT)
  const { versions } = await backend.observe({ signal })
  const call = { signal }
  for (const [version, wrapped] of before) {
    using plaintext = await backend.decrypt({ version, wrapped, associatedData: ASSOCIATED_DATA }, call)
    expect(plaintext.reveal(([byte]) => byte)).toBe(version)
  }
  for (const { version } of versions.filter(each => !before.has(each.version))) {
    using plaintext = new Secret(Uint8Array.of(version))
    before.set(version, await backend.encrypt({ version, plaintext, associatedData: ASSOCIATED_DATA }, call))
  }
  return versions.length
}

/** Whether version 1 is retired. */
async function isRetired({ backend: { store } }: Configured): Promise<boolean> {
  return (await readStored(store)).keyring.generations[0]?.state === 'retired'
}

const COPY_NAME = /^keyring\.before-retire-1(\.\d+)?$/
const RETIRE = ['retire', '1', '--i-have-verified', '--confirm', '1', '--every-node-verified']

/** A node with two versions, and what was encrypted by each. */
async function withTwoVersions() {
  const node = configured('store')
  expect(await sealctl(node, ['init', '--single-way-in'])).toBe(0)
  expect(await sealctl(node, ['rotate', '--hand-out', '0'])).toBe(0)
  const encrypted = new Map<number, Uint8Array>()
  await openedVersions(node, encrypted)
  return { node, encrypted, copy: join(node.backend.store, 'keyring.before-retire-1') }
}

describe('kill -9', () => {
  it(
    'of a rotation leaves a store that opens, with the old version or with both, and loses no version',
    async () => {
      const node = configured('store')
      const rotate = ['rotate', '--hand-out', '0']
      expect(await sealctl(node, ['init', '--single-way-in'])).toBe(0)
      const encrypted = new Map<number, Uint8Array>()
      await openedVersions(node, encrypted)
      const found: number[] = []
      const kills = await killedAtEach(node, rotate, async () => {
        const versions = await openedVersions(node, new Map(encrypted))
        found.push(versions)
        // Nothing that it has left is in the way of the next.
        expect(await sealctl(node, rotate)).toBe(0)
        expect(await openedVersions(node, new Map(encrypted))).toBe(versions + 1)
      })
      expect(new Set(found)).toEqual(new Set([1, 2]))
      process.stdout.write(`kill -9: a rotation at each of ${kills} writes left ${found.join(', ')} versions\n`)
    },
    LIMIT_MS,
  )

  it(
    'of a retirement loses no version: what it has taken comes back from the copy',
    async () => {
      const { node, encrypted, copy } = await withTwoVersions()
      const { store } = node.backend
      const found: string[] = []
      const kills = await killedAtEach(node, RETIRE, async () => {
        if (await isRetired(node)) {
          found.push('retired')
          expect(await sealctl(node, ['restore', copy])).toBe(0)
          expect(await openedVersions(node, encrypted)).toBe(2)
          return
        }
        const copied = existsSync(copy) ? readFileSync(copy) : Buffer.alloc(0)
        // A name that is taken, or all of it: never a part.
        if (copied.byteLength > 0) expect(copied).toEqual(readFileSync(join(store, 'keyring')))
        found.push(copied.byteLength > 0 ? 'copied' : 'nothing')
        expect(await openedVersions(node, encrypted)).toBe(2)
        // Nothing that it has left is in the way of the next, nor taken for a copy.
        expect(await sealctl(node, RETIRE)).toBe(0)
        const [newest = ''] = readdirSync(store)
          .filter(name => COPY_NAME.test(name))
          .sort()
          .reverse()
        expect(await sealctl(node, ['restore', join(store, newest)])).toBe(0)
        expect(await openedVersions(node, encrypted)).toBe(2)
      })
      expect([...new Set(found)]).toEqual(['nothing', 'copied', 'retired'])
      process.stdout.write(`kill -9: a retirement at each of ${kills} writes left ${found.join(', ')}\n`)
    },
    LIMIT_MS,
  )

  it(
    'of a restore leaves the retirement as it was, or taken back',
    async () => {
      const { node, encrypted, copy } = await withTwoVersions()
      expect(await sealctl(node, RETIRE)).toBe(0)
      const found: boolean[] = []
      const kills = await killedAtEach(node, ['restore', copy], async () => {
        const isStillRetired = await isRetired(node)
        found.push(isStillRetired)
        if (isStillRetired) expect(await sealctl(node, ['restore', copy])).toBe(0)
        expect(await openedVersions(node, encrypted)).toBe(2)
      })
      expect(new Set(found)).toEqual(new Set([true, false]))
      process.stdout.write(`kill -9: a restore at each of ${kills} writes left ${found.length} states\n`)
    },
    LIMIT_MS,
  )

  it(
    'of the first keyring leaves none, or one that opens',
    async () => {
      const node = configured('store')
      const { store } = node.backend
      const found: boolean[] = []
      const kills = await killedAtEach(node, ['init', '--single-way-in'], async () => {
        const isThere = existsSync(join(store, 'keyring'))
        found.push(isThere)
        // What it has left is in nobody's way.
        if (!isThere) expect(await sealctl(node, ['init', '--single-way-in'])).toBe(0)
        expect(await openedVersions(node, new Map())).toBe(1)
        expect((await readStored(store)).keyring.revision).toBe(1)
      })
      expect(new Set(found)).toEqual(new Set([true, false]))
      process.stdout.write(`kill -9: an init at each of ${kills} writes left ${found.length} states\n`)
    },
    LIMIT_MS,
  )
})
