import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeFacts, FACTS_HEADER } from '@sealwright/control-api'
import { Secret } from '@sealwright/secret'
import { controlClient, type ControlClient } from './index.ts'

const { signal } = new AbortController()
const MEMBER_ID = '0a'.repeat(16)
const member = {
  ...{ seal: 'people', sealType: 'shamir', memberId: MEMBER_ID, label: 'Küche', state: 'active' },
  ...{ fingerprint: 'a1'.repeat(16), reachableByPublicKey: true, records: [], shares: { threshold: 2, count: 3 } },
}
const ceremony = {
  ...{ seal: 'people', setLabel: 'board', threshold: 2, count: 3 },
  ...{ entered: [1], nonce: 'ab'.repeat(16), complete: false },
}
const rotation = { generation: 2, keyId: 'k2', wrapped: [], dropped: [] }
const secret = (text: string) => new Secret(Buffer.from(text))

interface Seen {
  readonly request: string
  readonly contentType: string | undefined
  readonly body: string
}

interface Agent extends AsyncDisposable {
  readonly client: ControlClient
  readonly seen: readonly Seen[]
}

/** An agent that answers everything in one way. */
async function agentThat(answer: (response: ServerResponse) => void, timeoutMs = 10_000): Promise<Agent> {
  const folder = await mkdtemp(join(tmpdir(), 'cc-'))
  const seen: Seen[] = []
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { 'content-type': contentType }: IncomingHttpHeaders = request.headers
    seen.push({
      request: `${request.method ?? ''} ${request.url ?? ''}`,
      contentType,
      body: Buffer.concat(chunks).toString(),
    })
    answer(response)
  }
  const server = createServer((request, response) => void take(request, response))
  const socketPath = join(folder, 's')
  await new Promise<void>(resolve => {
    server.listen(socketPath, () => {
      resolve()
    })
  })
  const client = controlClient({ socketPath, timeoutMs })
  return {
    ...{ client, seen },
    async [Symbol.asyncDispose]() {
      await client.close()
      server.closeAllConnections()
      server.close()
      await rm(folder, { recursive: true })
    },
  }
}

const answering = (body: unknown) => (response: ServerResponse) => {
  response.end(JSON.stringify(body))
}

describe('a call of the control client', () => {
  it.each<[string, object, (agent: ControlClient) => Promise<unknown>]>([
    ['GET /v1/sys/seals', { seals: [] }, agent => agent.seals(signal)],
    [
      'GET /v1/sys/seals/a%2Fb',
      { name: 'a', type: 'tpm', opened: false, members: [] },
      agent => agent.seal('a/b', signal),
    ],
    [
      'GET /v1/sys/seal-status/tpm',
      {
        ...{ name: 'tpm', type: 'tpm', priority: 1, disabled: false, sealed: true, opened: false },
        autoUnsealHealth: { state: 'untried' },
      },
      agent => agent.sealStatus('tpm', signal),
    ],
    ['GET /v1/sys/members', { members: [member], membersFingerprint: 'f0'.repeat(16) }, agent => agent.members(signal)],
    ['GET /v1/sys/unseal', { ceremonies: [ceremony] }, agent => agent.ceremonies(signal)],
    ['GET /v1/sys/generations', { generations: [] }, agent => agent.generations(signal)],
  ])('reads %s', async (request, answer, call) => {
    await using agent = await agentThat(answering(answer))
    expect(await call(agent.client)).toEqual(answer)
    expect(agent.seen).toEqual([{ request, contentType: undefined, body: '' }])
  })

  it.each<[string, string, unknown, object, (agent: ControlClient) => Promise<unknown>]>([
    [
      ...(['POST /v1/sys/rotate/seal-key', 'a rotation', { breakChain: true, drop: [MEMBER_ID] }, rotation] as const),
      agent => agent.rotate({ breakChain: true, drop: [MEMBER_ID] }, signal),
    ],
    [
      ...([
        'POST /v1/sys/members/revoke',
        'a revocation',
        { seal: 'a', memberId: MEMBER_ID, confirm: 'a' },
        rotation,
      ] as const),
      agent => agent.revokeMember({ seal: 'a', memberId: MEMBER_ID, confirm: 'a' }, signal),
    ],
    [
      ...(['POST /v1/sys/unseal/reset', 'a reset', { seal: 'people' }, { ceremony }] as const),
      agent => agent.resetShares({ seal: 'people' }, signal),
    ],
    [
      'POST /v1/sys/reload',
      'a new configuration',
      { tend: false },
      { added: ['b'], changed: [], removed: [], enabled: ['a', 'b'] },
      agent => agent.reload({ tend: false }, signal),
    ],
  ])('sends JSON to %s for %s', async (request, _what, body, answer, call) => {
    await using agent = await agentThat(answering(answer))
    expect(await call(agent.client)).toEqual(answer)
    expect(agent.seen).toEqual([{ request, contentType: 'application/json', body: JSON.stringify(body) }])
  })

  it('sends shares as bytes, which stay the caller’s', async () => {
    const rehearsal = { seal: 'people', setLabel: 'b', threshold: 2, shares: [], quorum: false }
    await using agent = await agentThat(answering({ ...ceremony, ...rehearsal }))
    using share = secret('sw-share-1-a')
    using other = secret('sw-share-1-b')
    expect(await agent.client.enterShare(share, { seal: 'people', nonce: ceremony.nonce }, signal)).toMatchObject({
      nonce: ceremony.nonce,
    })
    expect(await agent.client.rehearse([share, other], {}, signal)).toEqual(rehearsal)
    expect(share.byteLength + share.reveal(bytes => bytes.length)).toBe(24)
    expect(agent.seen).toEqual([
      {
        request: `POST /v1/sys/unseal?seal=people&nonce=${ceremony.nonce}`,
        ...{ contentType: 'application/octet-stream', body: 'sw-share-1-a' },
      },
      {
        request: 'POST /v1/sys/rehearse',
        ...{ contentType: 'application/octet-stream', body: 'sw-share-1-a\nsw-share-1-b\n' },
      },
    ])
  })

  it('gets shares as secrets, with the facts beside them', async () => {
    const facts = { clusterId: 'c0'.repeat(16), member }
    await using agent = await agentThat(response => {
      response.setHeader(FACTS_HEADER, encodeFacts(facts)).end('one\ntwo\n')
    })
    const made = await agent.client.initialise('people', { shares: { threshold: 2, count: 3 } }, signal)
    expect(made).toEqual({ ...facts, shares: [expect.any(Secret), expect.any(Secret)] })
    expect(made.shares.map(share => share.reveal(bytes => Buffer.from(bytes).toString()))).toEqual(['one', 'two'])
    expect(agent.seen[0]).toMatchObject({ body: '{"shares":{"threshold":2,"count":3}}' })
  })

  it('says that shares have arrived', async () => {
    await using agent = await agentThat(answering({ member }))
    expect(await agent.client.confirmShares('people', { memberId: member.memberId }, signal)).toEqual({ member })
    expect(agent.seen).toMatchObject([
      { request: 'POST /v1/sys/init/people/confirm', body: JSON.stringify({ memberId: member.memberId }) },
    ])
  })

  it('gives and takes bytes as they are', async () => {
    await using agent = await agentThat(response => {
      response.setHeader(FACTS_HEADER, encodeFacts({ member })).end(Uint8Array.of(0, 255, 10))
    })
    expect([...(await agent.client.exportKeyring(signal))]).toEqual([0, 255, 10])
    const query = { fingerprint: 'ab-cd', label: 'node b' }
    const approved = await agent.client.approveEnrolment(Buffer.from('request'), query, signal)
    expect(approved).toEqual({ member, keyring: expect.any(Uint8Array) as Uint8Array })
    expect([...approved.keyring]).toEqual([0, 255, 10])
    expect(agent.seen[1]).toMatchObject({
      request: 'POST /v1/sys/enroll/approve?fingerprint=ab-cd&label=node+b',
      body: 'request',
    })
    await using importing = await agentThat(answering({ revision: 3, changed: false }))
    expect(await importing.client.importKeyring(Buffer.from('SWKR'), signal)).toEqual({ revision: 3, changed: false })
    expect(importing.seen).toMatchObject([{ request: 'PUT /v1/sys/keyring', body: 'SWKR' }])
  })

  it('takes 204 for an answer where nothing is to be said', async () => {
    await using agent = await agentThat(response => {
      response.writeHead(204).end()
    })
    const query = { confirm: 'gone', checkedNode: ['a', 'b'] }
    await expect(agent.client.deleteSeal('gone', query, signal)).resolves.toBeUndefined()
    expect(agent.seen).toMatchObject([
      { request: 'DELETE /v1/sys/seals/gone?confirm=gone&checkedNode=a&checkedNode=b' },
    ])
  })

  it('sends a snapshot while it is read', async () => {
    await using agent = await agentThat(answering({ retired: [], kept: [] }))
    async function* pieces() {
      for (let piece = 0; piece < 4; piece += 1) {
        await new Promise(setImmediate)
        yield Buffer.from(`piece ${piece};`)
      }
    }
    expect(await agent.client.retire(pieces(), { lostNode: ['a', 'b'] }, signal)).toEqual({ retired: [], kept: [] })
    expect(agent.seen).toEqual([
      {
        request: 'POST /v1/sys/rotate/retire?lostNode=a&lostNode=b',
        ...{ contentType: 'application/octet-stream', body: 'piece 0;piece 1;piece 2;piece 3;' },
      },
    ])
  })

  it('fails with what the source of a snapshot fails with', async () => {
    await using agent = await agentThat(answering({ retired: [], kept: [] }))
    async function* broken() {
      yield Buffer.from('piece')
      await new Promise(setImmediate)
      throw new Error('the disk is gone')
    }
    await expect(agent.client.retire(broken(), {}, signal)).rejects.toThrow('the disk is gone')
  })

  it('passes on a refusal of the agent with its code and words', async () => {
    await using agent = await agentThat(response =>
      response.writeHead(409).end(JSON.stringify({ errors: ['it is the last way in'], code: 'OPERATION_LAST_WAY_IN' })),
    )
    await expect(agent.client.deleteSeal('tpm', { confirm: 'tpm' }, signal)).rejects.toMatchObject({
      ...{ name: 'ControlClientError', code: 'CONTROL_REFUSED', agentCode: 'OPERATION_LAST_WAY_IN', status: 409 },
      message: 'it is the last way in',
    })
  })

  it.each<[string, (response: ServerResponse) => void]>([
    ['no facts', response => response.end('share\n')],
    ['facts of another shape', response => response.setHeader(FACTS_HEADER, '{}').end('share\n')],
    ['a refusal without a code', response => response.writeHead(409).end('{"errors":["no"]}')],
  ])('refuses an answer with %s', async (_what, answer) => {
    await using agent = await agentThat(answer)
    await expect(agent.client.initialise('people', {}, signal)).rejects.toMatchObject({ code: 'CONTROL_ANSWER' })
  })
})
