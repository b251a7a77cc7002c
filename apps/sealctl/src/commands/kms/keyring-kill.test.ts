import { spawn } from 'node:child_process'
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { keyringBackend, readStored } from '@sealwright/kms-backends'
import { type KeyringBackendConfig, parseKmsConfig } from '@sealwright/kms-config'
import { Secret } from '@sealwright/secret'
import { SEARCH_PATH, startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { SEAL_CONTEXT } from '../../seal-context.ts'

const PROGRAM = join(import.meta.dirname, '../../main.ts')
const ROTATIONS_KILLED = 24
const INITS_KILLED = 12
const RETIREMENTS_KILLED = 12
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
 * @param killAfterMs - `undefined`: lets it end.
 * @returns how it ended, and how long that took.
 */
async function sealctl(
  { path }: Configured,
  args: readonly string[],
  killAfterMs?: number,
): Promise<{ readonly endedBy: NodeJS.Signals | number | null; readonly tookMs: number }> {
  const child = spawn(process.execPath, [PROGRAM, 'kms', 'keyring', ...args, '--config', path], {
    stdio: 'ignore',
    env: { PATH: SEARCH_PATH, NODE_COMPILE_CACHE: folder.join('cache') },
  })
  const ended = Promise.withResolvers<NodeJS.Signals | number | null>()
  const startedAtMs = performance.now()
  child.once('error', ended.reject)
  child.once('close', (code, endedBy) => {
    ended.resolve(endedBy ?? code)
  })
  if (killAfterMs !== undefined) {
    await Promise.race([ended.promise, delay(killAfterMs)])
    child.kill('SIGKILL')
  }
  return { endedBy: await ended.promise, tookMs: performance.now() - startedAtMs }
}

/** Somewhere in its last part, which is where it writes; how long the whole takes depends on how busy the machine is. */
function killTime(wholeMs: number): number {
  return wholeMs * (0.6 + 0.5 * Math.random())
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

describe('kill -9', () => {
  it(
    'of a rotation leaves a store that opens, with the old version or with both, and loses no version',
    async () => {
      const node = configured('store')
      expect((await sealctl(node, ['init', '--single-way-in'])).endedBy).toBe(0)
      const whole = await sealctl(node, ['rotate', '--hand-out', '0'])
      expect(whole.endedBy).toBe(0)
      const encrypted = new Map<number, Uint8Array>()
      let versions = await openedVersions(node, encrypted)
      let [killed, wholeMs] = [0, whole.tookMs]
      for (let round = 0; round < ROTATIONS_KILLED; round += 1) {
        const { endedBy, tookMs } = await sealctl(node, ['rotate', '--hand-out', '0'], killTime(wholeMs))
        if (endedBy === 'SIGKILL') killed += 1
        else {
          expect(endedBy).toBe(0)
          wholeMs = tookMs
        }
        const now = await openedVersions(node, encrypted)
        expect([versions, versions + 1]).toContain(now)
        if (endedBy === 0) expect(now).toBe(versions + 1)
        versions = now
      }
      expect(killed).toBeGreaterThan(0)
      // Nothing that a killed one has left is in the way of the next.
      expect((await sealctl(node, ['rotate', '--hand-out', '0'])).endedBy).toBe(0)
      expect(await openedVersions(node, encrypted)).toBe(versions + 1)
      process.stdout.write(`kill -9: ${killed} of ${ROTATIONS_KILLED} rotations killed, ${versions + 1} versions\n`)
    },
    LIMIT_MS,
  )

  it(
    'of a retirement loses no version: what it has taken comes back from the copy',
    async () => {
      const node = configured('store')
      const { store } = node.backend
      expect((await sealctl(node, ['init', '--single-way-in'])).endedBy).toBe(0)
      expect((await sealctl(node, ['rotate', '--hand-out', '0'])).endedBy).toBe(0)
      const encrypted = new Map<number, Uint8Array>()
      await openedVersions(node, encrypted)
      const words = ['retire', '1', '--i-have-verified', '--confirm', '1', '--every-node-verified']
      const copy = join(store, 'keyring.before-retire-1')
      const takeBack = async () => {
        expect((await sealctl(node, ['restore', copy])).endedBy).toBe(0)
      }
      let { tookMs: wholeMs } = await sealctl(node, words)
      await takeBack()
      let [killed, retired] = [0, 0]
      for (let round = 0; round < RETIREMENTS_KILLED; round += 1) {
        for (const name of readdirSync(store).filter(each => each.startsWith('keyring.before-retire'))) {
          rmSync(join(store, name))
        }
        const { endedBy, tookMs } = await sealctl(node, words, killTime(wholeMs))
        if (endedBy === 'SIGKILL') killed += 1
        else wholeMs = tookMs
        const { keyring } = await readStored(store)
        if (keyring.generations[0]?.state === 'retired') {
          retired += 1
          await takeBack()
        }
        expect(await openedVersions(node, encrypted)).toBe(2)
      }
      expect(killed).toBeGreaterThan(0)
      process.stdout.write(`kill -9: ${killed} of ${RETIREMENTS_KILLED} retirements killed, ${retired} taken back\n`)
    },
    LIMIT_MS,
  )

  it(
    'of the first keyring leaves none, or one that opens',
    async () => {
      await sealctl(configured('first'), ['init', '--single-way-in'])
      // Compiled by now.
      let { tookMs: wholeMs } = await sealctl(configured('second'), ['init', '--single-way-in'])
      let [killed, made] = [0, 0]
      for (let round = 0; round < INITS_KILLED; round += 1) {
        const node = configured(`store-${round}`)
        const { store } = node.backend
        const { endedBy, tookMs } = await sealctl(node, ['init', '--single-way-in'], killTime(wholeMs))
        if (endedBy === 'SIGKILL') killed += 1
        else wholeMs = tookMs
        const isThere = existsSync(store) && readdirSync(store).includes('keyring')
        if (isThere) {
          made += 1
          expect(await openedVersions(node, new Map())).toBe(1)
          expect((await readStored(store)).keyring.revision).toBe(1)
        } else {
          // What it has left is in nobody's way.
          expect((await sealctl(node, ['init', '--single-way-in'])).endedBy).toBe(0)
          expect(await openedVersions(node, new Map())).toBe(1)
        }
      }
      expect(killed).toBeGreaterThan(0)
      process.stdout.write(`kill -9: ${killed} of ${INITS_KILLED} inits killed, ${made} keyrings were there\n`)
    },
    LIMIT_MS,
  )
})
