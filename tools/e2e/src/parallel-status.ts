import { isDeepStrictEqual } from 'node:util'
import { type SealedNode } from '@sealwright/testing-cluster'
import { waitUntil } from '@sealwright/testing-rig'
import { askControl } from './control-request.ts'
import { killAgent } from './node-life.ts'

/** What the agent knows of a seal, without asking it again. */
export interface KnownHealth {
  readonly state: 'untried' | 'healthy' | 'failing'
  readonly code?: string
  readonly message?: string
  readonly retrying?: boolean
  /** ISO 8601, of the last time it opened. */
  readonly unwrappedAt?: string
  readonly failuresInARow?: number
}

/** What the agent tells of itself without asking a seal. */
export interface KnownStatus {
  readonly state: 'open' | 'sealed'
  readonly sessions: number
  readonly keyring?: {
    readonly clusterId: string
    readonly keyId: string
    readonly generation: number
    readonly openedBy: string
  }
  readonly openbao: { readonly state: string }
  readonly seals: readonly { readonly name: string; readonly health: KnownHealth }[]
}

/** A seal of the keyring, or of the configuration. */
export interface ListedSeal {
  readonly name: string
  readonly members: readonly {
    readonly memberId: string
    readonly label: string
    readonly state: string
    readonly records: readonly { readonly generation: number; readonly method: string }[]
  }[]
}

/** Generous: a test that waits this long has failed. */
const TIMEOUT_MS = 30_000

/** What the agent's health of a seal must be, as a condition to wait for. */
export type ExpectedHealth = 'healthy' | { readonly code: string }

export async function knownStatus(node: SealedNode): Promise<KnownStatus> {
  return await controlJson<KnownStatus>(node, '/v1/sys/seal-status')
}

export async function listedSeals(node: SealedNode): Promise<readonly ListedSeal[]> {
  type Listed = Omit<ListedSeal, 'members'> & Partial<Pick<ListedSeal, 'members'>>
  const { seals } = await controlJson<{ readonly seals: readonly Listed[] }>(node, '/v1/sys/seals')
  return seals.map(seal => ({ ...seal, members: seal.members ?? [] }))
}

/** Waits until the agent, by its own probes, has found a seal healthy, or failing by this code. */
export async function waitForHealth(node: SealedNode, name: string, expected: ExpectedHealth): Promise<KnownHealth> {
  let last: KnownHealth | undefined
  return await waitUntil(
    async () => {
      last = (await knownStatus(node)).seals.find(seal => seal.name === name)?.health
      const isIt = expected === 'healthy' ? last?.state === 'healthy' : last?.code === expected.code
      return isIt ? last : undefined
    },
    {
      what: `the seal ${name} to be ${JSON.stringify(expected)}`,
      timeoutMs: TIMEOUT_MS,
      intervalMs: 50,
      describe: () => `it was last ${JSON.stringify(last)}`,
    },
  )
}

/** Waits until the keyring has records for all these seals. */
export async function waitForMembers(node: SealedNode, ...names: readonly string[]): Promise<void> {
  await node.waitForLog('agent serves')
  await waitUntil(
    async () => {
      const seals = await listedSeals(node)
      return names.every(name => seals.find(seal => seal.name === name)?.members.some(({ records }) => records.length))
    },
    { what: `records for ${names.join(', ')}`, timeoutMs: TIMEOUT_MS, intervalMs: 50 },
  )
}

/** SIGKILL to the agent, and another one in its place, that answers. */
export async function restartAgent(node: SealedNode): Promise<void> {
  await killAgent(node)
  await node.startAgent()
  await node.waitForLog('agent serves')
}

/** Waits until the agent holds the keyring, and expects that this seal has opened it. */
export async function expectOpenedBy(node: SealedNode, sealName: string): Promise<void> {
  await node.waitForLog('agent serves')
  const keyring = await waitUntil(async () => (await knownStatus(node)).keyring, {
    what: `the keyring to be opened, by ${sealName}`,
    timeoutMs: TIMEOUT_MS,
  })
  expect(keyring).toMatchObject({ openedBy: sealName })
}

/** Waits until OpenBao is active, and expects that the agent serves it. */
export async function expectServes(node: SealedNode): Promise<void> {
  await node.openBao().waitFor('active')
  const serving = { state: 'open', sessions: 1, openbao: { state: 'active' } }
  await waitUntil(async () => isDeepStrictEqual(pick(await knownStatus(node)), serving), {
    what: `the agent to serve OpenBao: ${JSON.stringify(serving)}`,
    timeoutMs: TIMEOUT_MS,
  })
}

function pick({ state, sessions, openbao }: KnownStatus): Readonly<Record<string, unknown>> {
  return { state, sessions, openbao: { state: openbao.state } }
}

/** Asks the control socket for an answer in JSON. */
export async function controlJson<T>(node: SealedNode, path: string, method = 'GET', body?: Uint8Array): Promise<T> {
  const { status, text } = await askControl(node, path, method, body)
  if (status !== 200) throw new Error(`${method} ${path} was answered with ${status}: ${text}`)
  return JSON.parse(text) as T
}
