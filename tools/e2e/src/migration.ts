import { readFileSync } from 'node:fs'
import { cp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SealedNodeConfig } from '@sealwright/testing-cluster'
import { type OpenBaoNode, type OpenBaoSeal } from '@sealwright/testing-rig'
import { bao } from './bao-command.ts'
import { newNodeWithOpenBao, type ServedNode } from './served-node.ts'
import { type TestScope } from './test-scope.ts'

const SHARES = 3
const THRESHOLD = 2
const SECRET_PATH = 'kv/proof'
const SECRET = 'kept'
const MOUNT_TIMEOUT_MS = 60_000
const STATIC_KEY_BYTES = 32

/** What OpenBao says first, and last, when its data goes from one seal to another. */
export const MIGRATION_PENDING =
  'entering seal migration mode; Vault will not automatically unseal even if using an autoseal'
export const MIGRATION_COMPLETE = 'seal migration complete'

/** An OpenBao with a secret in it, and what opens it without its seal. */
export interface FilledOpenBao {
  readonly rootToken: string
  /** The unseal keys of a Shamir seal, else the recovery keys: three, of which two are needed. */
  readonly keys: readonly string[]
}

/** A node whose OpenBao began with some seal and has data. */
export type MigratingNode = ServedNode & FilledOpenBao

/** How the key of a `seal "static"` is given to OpenBao. */
export type StaticSeal = OpenBaoSeal & { readonly kind: 'static' }

/**
 * Makes a node on which only an OpenBao with another seal than ours runs, initialised and with a secret. Nothing was bootstrapped.
 *
 * @param sealOf - the seal that it begins with.
 */
export async function nodeUnderAnotherSeal(
  scope: TestScope,
  sealOf: (served: ServedNode) => OpenBaoSeal | Promise<OpenBaoSeal>,
  config?: SealedNodeConfig,
): Promise<MigratingNode> {
  const served = await newNodeWithOpenBao(scope, config)
  const seal = await sealOf(served)
  const server = await served.node.startOpenBao({ ...served.ports, seal, until: 'uninitialised' })
  return { ...served, ...(await fill(server, seal.kind)) }
}

/** `bao operator init` with three shares of which two are needed, and a secret. */
export async function fill(server: OpenBaoNode, kind: OpenBaoSeal['kind']): Promise<FilledOpenBao> {
  const isShamir = kind === 'shamir'
  const shares = isShamir ? ['-key-shares', '-key-threshold'] : ['-recovery-shares', '-recovery-threshold']
  const said = await bao(server, [
    ...['operator', 'init', '-format=json'],
    ...[`${shares[0] ?? ''}=${SHARES}`, `${shares[1] ?? ''}=${THRESHOLD}`],
  ])
  const init = JSON.parse(said) as Readonly<Record<'unseal_keys_b64' | 'recovery_keys_b64', readonly string[]>> & {
    readonly root_token: string
  }
  const filled = { rootToken: init.root_token, keys: isShamir ? init.unseal_keys_b64 : init.recovery_keys_b64 }
  if (isShamir) for (const key of enoughOf(filled)) await bao(server, ['operator', 'unseal', key])
  await server.waitFor('active')
  await bao(server, ['secrets', 'enable', '-path=kv', 'kv'], filled.rootToken)
  const write = { method: 'POST', path: SECRET_PATH, body: { value: SECRET }, token: filled.rootToken } as const
  await server.waitFor(async () => (await server.request(write)).status === 204, {
    what: 'the first secret to be written',
    timeoutMs: MOUNT_TIMEOUT_MS,
  })
  return filled
}

/** As many keys as are needed. */
export function enoughOf({ keys }: FilledOpenBao): readonly string[] {
  return keys.slice(0, THRESHOLD)
}

/** Whether the secret is there, by the token of the beginning. */
export async function hasSecret(server: OpenBaoNode, { rootToken }: FilledOpenBao): Promise<boolean> {
  const { status, body } = await server.request({ path: SECRET_PATH, token: rootToken })
  return status === 200 && (body as { readonly data: { readonly value: string } }).data.value === SECRET
}

/** What `bao status` shows of the seal. */
export interface SealStatus {
  readonly type: string
  readonly sealed: boolean
  readonly migration: boolean
  readonly progress: number
  readonly recovery_seal: boolean
  readonly n: number
  readonly t: number
}

export async function sealStatusOf(server: OpenBaoNode): Promise<SealStatus> {
  return (await server.request({ path: 'sys/seal-status' })).body as SealStatus
}

/** Waits until OpenBao says that it will not open before somebody gives it keys for a migration. */
export async function waitUntilPending(server: OpenBaoNode): Promise<void> {
  await server.waitFor('sealed')
  expect(await sealStatusOf(server)).toMatchObject({ sealed: true, migration: true })
  expect(readFileSync(server.logPath, 'utf8')).toContain(MIGRATION_PENDING)
}

/** Gives one key after another by `bao operator unseal -migrate`, as people do. */
export async function migrate(server: OpenBaoNode, keys: readonly string[]): Promise<void> {
  for (const key of keys) await bao(server, ['operator', 'unseal', '-migrate', key])
}

/** Waits until the data is under the new seal: only now may OpenBao be stopped. */
export async function waitUntilMigrated(server: OpenBaoNode): Promise<void> {
  await server.waitFor('active')
  await server.waitFor(async () => !(await sealStatusOf(server)).migration, { what: 'the end of the migration' })
  expect(logSinceStart(server)).toContain(MIGRATION_COMPLETE)
}

/** Opens by itself, with its data, as often as it is started. */
export async function expectOpensWithData(server: OpenBaoNode, filled: FilledOpenBao): Promise<void> {
  for (const start of [1, 2]) {
    await server.waitFor('active')
    expect({ start, isThere: await hasSecret(server, filled) }).toEqual({ start, isThere: true })
    await server.restart({ until: 'listening' })
  }
  await server.waitFor('active')
}

/** SIGKILL, and its end. */
export async function killServer(server: OpenBaoNode): Promise<void> {
  server.kill()
  await server.process().exited
}

/** What OpenBao logged since it listens, of its newest start. */
export function logSinceStart(server: OpenBaoNode): string {
  const log = readFileSync(server.logPath, 'utf8')
  return log.slice(Math.max(0, log.lastIndexOf('==> OpenBao server started!')))
}

/** A copy of the storage of a server that does not run, to put back if a migration was cut short. */
export async function copyStorage(server: OpenBaoNode): Promise<{ putBack(): Promise<void> }> {
  const copy = `${server.dataDirectory}.before`
  await cp(server.dataDirectory, copy, { recursive: true })
  return {
    async putBack() {
      await rename(server.dataDirectory, `${server.dataDirectory}.broken`)
      await cp(copy, server.dataDirectory, { recursive: true })
      await rm(`${server.dataDirectory}.broken`, { recursive: true })
    },
  }
}

/**
 * Writes the seal key of a new cluster as the raw key of a `seal "static"`, and its key id beside the seal key.
 *
 * @param folder - where the raw key goes.
 */
export async function asStaticSeal(folder: string, sealKeyPath: string, keyId = 'static-1'): Promise<StaticSeal> {
  const key = Buffer.from(await readFile(join(sealKeyPath, 'seal-key'), 'utf8'), 'base64')
  expect(key).toHaveLength(STATIC_KEY_BYTES)
  const keyFile = join(folder, 'static.key')
  await writeFile(keyFile, key, { mode: 0o600 })
  await writeFile(join(sealKeyPath, 'key-id'), keyId, { mode: 0o600 })
  return { kind: 'static', keyFile, keyId }
}
