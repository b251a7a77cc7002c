import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { Secret } from '@sealwright/secret'
import {
  certificateAuthority,
  freePort,
  type OpenBaoNode,
  startOpenBao,
  temporaryFolder,
  type TemporaryFolder,
  waitUntilApplied,
} from '@sealwright/testing-rig'
import { closeTransits, type Fields, prepareTransit, reads, transitOf, USE_ONLY } from '../testing/second-openbao.ts'
import { TransitError } from './error.ts'
import { transitSealMember } from './seal-member.ts'

/** Two nodes, of which the leader is lost in the end. */
let folder: TemporaryFolder
let nodes: readonly OpenBaoNode[] = []

const call = { signal: new AbortController().signal }

beforeAll(async () => {
  folder = await temporaryFolder()
  const authority = await certificateAuthority({ directory: folder.join('tls') })
  const keyFile = folder.join('seal.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  const places = await Promise.all(
    ['n1', 'n2'].map(async nodeId => ({ nodeId, apiPort: await freePort(), clusterPort: await freePort() })),
  )
  const retryJoin = places.map(({ apiPort }) => `https://127.0.0.1:${apiPort}`)
  nodes = await Promise.all(
    places.map(async place => {
      const tls = {
        ...(await authority.issue({ name: place.nodeId, usage: 'server' })),
        caPath: authority.certificatePath,
      }
      const directory = folder.join(place.nodeId)
      return await startOpenBao({ ...place, directory, tls, seal: { kind: 'static', keyFile }, retryJoin })
    }),
  )
})

afterEach(closeTransits)

afterAll(async () => {
  await Promise.all(nodes.map(async node => await node.stop()))
  await folder.remove()
})

it('works with a standby alone, and goes on with the token it has while there is no leader', async () => {
  const [leader, standby] = nodes
  if (leader === undefined || standby === undefined) throw new Error('there are two nodes')
  const bao = await prepareTransit(leader)
  await bao.ask('POST', 'sys/auth/approle', { type: 'approle' })
  const role = { token_policies: [USE_ONLY], token_no_default_policy: true, token_period: '10m' }
  await bao.ask('POST', 'auth/approle/role/node', role)
  const { role_id: roleId } = (await bao.ask('GET', 'auth/approle/role/node/role-id')).data as Fields
  const { secret_id: secretId } = (await bao.ask('POST', 'auth/approle/role/node/secret-id')).data as Fields
  const auth = {
    method: 'approle',
    readRoleId: reads(String(roleId)),
    readSecretId: reads(String(secretId)),
  } as const
  await standby.waitFor('standby')

  const member = transitSealMember({ access: transitOf(standby, { auth }), memberId: new Uint8Array(16) })
  const kek = new Secret(Uint8Array.from(randomBytes(32)))
  const sealed = await member.sealKek(kek, call)
  expect((await member.unsealKek(sealed, { ...call, method: 'transit' })).equals(kek)).toBe(true)

  // Until then it was the leader that knew the token, behind the standby.
  await waitUntilApplied(leader, [standby], { timeoutMs: 30_000 })
  leader.kill()
  await leader.process().exited
  const codes: string[] = []
  // While the standby finds out that its leader is gone it may want to ask it: `transient`, and soon over.
  await standby.waitFor(
    async () => {
      const opened = await outcomeOf(member.unsealKek(sealed, { ...call, method: 'transit' }))
      codes.push(opened)
      return opened === 'opened'
    },
    { what: 'the standby to open without a leader', timeoutMs: 30_000 },
  )
  expect(codes.filter(code => code !== 'opened' && code !== 'TRANSIT_REDIRECTED')).toEqual([])
  const newcomer = transitSealMember({ access: transitOf(standby, { auth }), memberId: new Uint8Array(16) })
  await standby.waitFor(
    async () => {
      const denied = await outcomeOf(newcomer.unsealKek(sealed, { ...call, method: 'transit' }))
      return denied === 'TRANSIT_REDIRECTED'
    },
    { what: 'a login that finds no leader', timeoutMs: 30_000 },
  )
})

async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'opened',
    (error: unknown) => (error instanceof TransitError ? error.code : String(error)),
  )
}
