import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { controlClient, type ControlClient } from './index.ts'

const status = {
  version: '0.1.0',
  pid: 7,
  startedAt: '2026-01-02T03:04:05.000Z',
  state: 'sealed',
  store: '/s',
  seals: [],
  sessions: 0,
  openbao: { state: 'not-configured' },
}

const NOBODY = 65_534

let folder: string
let server: Server | undefined
let client: ControlClient | undefined
const signal = new AbortController().signal

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cc-'))
})

afterEach(async () => {
  await client?.close()
  server?.closeAllConnections()
  server?.close()
  server = undefined
  await rm(folder, { recursive: true })
})

async function agentThat(answers: RequestListener, timeoutMs = 10_000): Promise<ControlClient> {
  const socketPath = join(folder, 's')
  const listening = createServer(answers)
  server = listening
  await new Promise<void>(resolve => {
    listening.listen(socketPath, () => {
      resolve()
    })
  })
  client = controlClient({ socketPath, timeoutMs })
  return client
}

describe('asking an agent', () => {
  it('reads its status', async () => {
    const agent = await agentThat((_request, response) => response.end(JSON.stringify(status)))
    expect(await agent.status(signal)).toEqual(status)
  })

  it('has it probe its seals', async () => {
    const agent = await agentThat((request, response) => {
      response.end(request.method === 'POST' ? JSON.stringify({ seals: [] }) : 'null')
    })
    expect(await agent.probe(signal)).toEqual({ seals: [] })
  })

  it.each<[string, RequestListener]>([
    ['is no JSON', (_request, response) => response.end('<html>')],
    ['has another shape', (_request, response) => response.end('{"state":"ajar"}')],
    ['says that it failed', (_request, response) => response.writeHead(500).end('{"errors":[]}')],
  ])('refuses an answer that %s', async (_what, answers) => {
    const agent = await agentThat(answers)
    await expect(agent.status(signal)).rejects.toMatchObject({ code: 'CONTROL_ANSWER' })
  })

  it('gives up on an agent that never answers', async () => {
    const agent = await agentThat(() => undefined, 50)
    await expect(agent.status(signal)).rejects.toMatchObject({ code: 'CONTROL_TIMEOUT' })
  })

  it('does not call a cancelled call a timeout', async () => {
    const controller = new AbortController()
    const agent = await agentThat(() => {
      controller.abort(new Error('enough'))
    })
    await expect(agent.status(controller.signal)).rejects.toThrow('enough')
  })

  it('refuses to read without end', async () => {
    const agent = await agentThat((_request, response) => response.end('x'.repeat(3 * 1024 * 1024)))
    await expect(agent.status(signal)).rejects.toMatchObject({ code: 'CONTROL_UNREACHABLE' })
  })

  it('says that no agent is there', async () => {
    client = controlClient({ socketPath: join(folder, 'absent'), timeoutMs: 1_000 })
    await expect(client.status(signal)).rejects.toMatchObject({ code: 'CONTROL_NO_AGENT' })
  })

  it('says that this user may not ask', async () => {
    const agent = await agentThat((_request, response) => response.end(JSON.stringify(status)))
    await chmod(folder, 0o000)
    // The superuser may connect to everything, so it becomes nobody for the length of the call.
    const isSuperuser = process.geteuid?.() === 0
    if (isSuperuser) process.seteuid?.(NOBODY)
    try {
      await expect(agent.status(signal)).rejects.toMatchObject({ code: 'CONTROL_DENIED' })
    } finally {
      if (isSuperuser) process.seteuid?.(0)
      await chmod(folder, 0o700)
    }
  })
})
