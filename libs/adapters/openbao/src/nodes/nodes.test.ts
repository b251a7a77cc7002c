import { freePort, waitUntil } from '@sealwright/testing-rig'
import { steadyClock } from '../auth/clock.ts'
import { OpenBaoError } from '../error.ts'
import { closeAll, failureOf, type RawAnswer, type RawServer, serveRaw, whole } from '../testing/raw-server.ts'
import { isOfOneNode, joinFailures } from './node-failures.ts'
import { type NodeHealth, type Nodes, openNodes } from './nodes.ts'

const opened: Nodes[] = []

afterEach(async () => {
  await Promise.all(
    opened.splice(0).map(async nodes => {
      await nodes.close()
    }),
  )
  await closeAll()
})

const signal = new AbortController().signal

function nodesAt(
  addresses: readonly string[],
  options: { patienceMs?: number; onChange?: (health: NodeHealth) => void } = {},
): Nodes {
  const nodes = openNodes({ addresses, clock: steadyClock, patienceMs: 400, ...options })
  opened.push(nodes)
  return nodes
}

/** Asks for something, and gives the body or the code of the failure. */
async function ask(nodes: Nodes, timeoutMs = 5_000, caller = signal): Promise<string> {
  const body = new TextEncoder().encode('{}')
  const call = { signal: caller, timeoutMs }
  try {
    const answer = await nodes.send({ method: 'POST', path: 'x', body, call, expected: [200] })
    return Buffer.from(answer.body).toString()
  } catch (error) {
    if (error instanceof OpenBaoError) return error.code
    throw error
  }
}

/** A node that can be made to hang. It answers all it owes once it is let go, as a process does that was stopped. */
async function hangingNode(name: string): Promise<RawServer & { hang: () => void; letGo: () => void }> {
  const owed: (() => void)[] = []
  let hangs = false
  const raw = await serveRaw((socket, request) => {
    const answer = (): unknown => whole('200 OK', name)(socket, request)
    if (hangs) owed.push(answer)
    else answer()
  })
  return {
    ...raw,
    hang: () => {
      hangs = true
    },
    letGo: () => {
      hangs = false
      for (const answer of owed.splice(0)) answer()
    },
  }
}

const asked = ({ requests }: RawServer): number => requests.filter(text => text.startsWith('POST')).length
const knocks = ({ requests }: RawServer): number => requests.filter(text => text.includes('/sys/health')).length
const states = (nodes: Nodes): readonly string[] => nodes.health().map(({ state }) => state)

it('asks the first address, and goes on with the one that answered', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`
  const second = await serveRaw(whole('200 OK', 'second'))
  const third = await serveRaw(whole('200 OK', 'third'))
  const nodes = nodesAt([nobody, second.address, third.address])
  expect(states(nodes)).toEqual(['untried', 'untried', 'untried'])
  expect([await ask(nodes), await ask(nodes)]).toEqual(['second', 'second'])
  expect(states(nodes)).toEqual(['failing', 'answering', 'untried'])
  expect(nodes.health()[0]?.failure?.code).toBe('OPENBAO_UNREACHABLE')
  expect(asked(third)).toBe(0)
})

it.each<[string, RawAnswer]>([
  ['sealed', whole('503 X', '{"errors":["Vault is sealed"]}')],
  ['without a leader', whole('307 X', '', 'Location: http://127.0.0.1:1/\r\n')],
  ['broken', whole('500 X', '{"errors":["internal error"]}')],
  ['at its quota', whole('429 X', '{"errors":["rate limit quota exceeded"]}')],
  ['no OpenBao at all', socket => socket.end('SSH-2.0-x\r\n')],
  ['cut off in the middle', socket => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{')],
])('goes on to the next if the first is %s', async (_, answer) => {
  const first = await serveRaw(answer)
  const second = await serveRaw(whole('200 OK', 'second'))
  expect(await ask(nodesAt([first.address, second.address]))).toBe('second')
})

it.each([
  [400, 'OPENBAO_BAD_REQUEST'],
  [403, 'OPENBAO_PERMISSION_DENIED'],
  [404, 'OPENBAO_NOT_FOUND'],
])('takes a status of %i for the answer of the cluster', async (status, code) => {
  const first = await serveRaw(whole(`${status} X`, '{"errors":["no"]}'))
  const second = await serveRaw(whole('200 OK', 'second'))
  const nodes = nodesAt([first.address, second.address])
  expect(await ask(nodes)).toBe(code)
  expect(asked(second)).toBe(0)
  expect(states(nodes)).toEqual(['answering', 'untried'])
})

it('asks once more over a new connection after one that was cut', async () => {
  let isDead = true
  const node = await serveRaw((socket, request) => {
    if (isDead) socket.destroy()
    else whole('200 OK', 'back')(socket, request)
    isDead = false
  })
  expect(await ask(nodesAt([node.address]))).toBe('back')
  expect(asked(node)).toBe(2)
})

it('tells what all of them said, under the most telling code', async () => {
  const sealed = await serveRaw(whole('503 X', '{"errors":["Vault is sealed"]}'))
  const nobody = `http://127.0.0.1:${await freePort()}`
  const nodes = nodesAt([nobody, sealed.address])
  const failure = await failureOf(nodes.send({ method: 'GET', path: 'x', call: { signal }, expected: [200] }))
  expect(failure).toMatchObject({ code: 'OPENBAO_SEALED', status: 503, serverErrors: ['Vault is sealed'] })
  expect(failure.message).toContain(`${nobody}: GET x: no connection (ECONNREFUSED)`)
  expect(failure.message).toContain(`${sealed.address}: GET x: status 503`)
  expect(() => joinFailures([])).toThrow(RangeError)
  expect(isOfOneNode(new TypeError('a bug'))).toBe(false)
})

describe('a node that hangs', () => {
  it('is given up long before the time of the call, and not waited for again', async () => {
    const node = await hangingNode('first')
    node.hang()
    const changes: string[] = []
    const nodes = nodesAt([node.address], {
      onChange: ({ state, failure }) => changes.push(`${state} ${failure?.code ?? ''}`),
    })
    expect(await ask(nodes, 60_000)).toBe('OPENBAO_TIMEOUT')
    const askedOnce = asked(node)
    expect([await ask(nodes, 60_000), await ask(nodes, 60_000)]).toEqual(['OPENBAO_TIMEOUT', 'OPENBAO_TIMEOUT'])
    expect(asked(node)).toBe(askedOnce)
    expect(changes).toEqual(['silent OPENBAO_TIMEOUT'])
  })

  it('is found as soon as it answers a knock', async () => {
    const node = await hangingNode('back')
    node.hang()
    const nodes = nodesAt([node.address])
    expect(await ask(nodes, 60_000)).toBe('OPENBAO_TIMEOUT')
    await waitUntil(() => knocks(node) > 0, { what: 'a knock', timeoutMs: 5_000 })
    node.letGo()
    await waitUntil(() => states(nodes)[0] !== 'silent', { what: 'the node to be found', timeoutMs: 5_000 })
    expect(await ask(nodes)).toBe('back')
    expect(states(nodes)).toEqual(['answering'])
  })

  it('is given up for all who wait for it at once', async () => {
    const node = await hangingNode('first')
    node.hang()
    const nodes = nodesAt([node.address])
    const outcomes = await Promise.all(Array.from({ length: 20 }, async () => await ask(nodes, 60_000)))
    expect(new Set(outcomes)).toEqual(new Set(['OPENBAO_TIMEOUT']))
  })

  it('leaves time for the next one, which is then asked first', async () => {
    const first = await hangingNode('first')
    const second = await hangingNode('second')
    const nodes = nodesAt([first.address, second.address])
    expect(await ask(nodes)).toBe('first')
    first.hang()
    expect([await ask(nodes), await ask(nodes)]).toEqual(['second', 'second'])
    expect(states(nodes)).toEqual(['silent', 'answering'])
    first.letGo()
    await waitUntil(() => states(nodes)[0] !== 'silent', { what: 'the node to be found', timeoutMs: 5_000 })
    second.hang()
    expect(await ask(nodes)).toBe('first')
  })

  it('says so beside what the others say', async () => {
    const first = await hangingNode('first')
    first.hang()
    const nobody = `http://127.0.0.1:${await freePort()}`
    const nodes = nodesAt([first.address, nobody])
    expect([await ask(nodes), await ask(nodes)]).toEqual(['OPENBAO_TIMEOUT', 'OPENBAO_TIMEOUT'])
    expect(states(nodes)).toEqual(['silent', 'failing'])
  })

  it('is not waited for by a caller who leaves', async () => {
    const node = await hangingNode('first')
    node.hang()
    const nodes = nodesAt([node.address], { patienceMs: 60_000 })
    const controller = new AbortController()
    const waiting = ask(nodes, 60_000, controller.signal)
    await waitUntil(() => asked(node) > 0, { what: 'the request', timeoutMs: 5_000 })
    controller.abort()
    expect(await waiting).toBe('OPENBAO_CANCELLED')
    expect(await ask(nodes, 60_000, AbortSignal.abort())).toBe('OPENBAO_CANCELLED')
  })
})

describe('a node that is slow, and says that it lives', () => {
  /** Answers knocks at once, and everything else when it is told to. */
  async function slowNode(name: string): Promise<RawServer & { answer: () => void }> {
    const owed: (() => void)[] = []
    const raw = await serveRaw((socket, request) => {
      if (request.includes('/sys/health')) whole('429 X', '{}')(socket, request)
      else owed.push(() => whole('200 OK', name)(socket, request))
    })
    return {
      ...raw,
      answer: () => {
        for (const give of owed.splice(0)) give()
      },
    }
  }

  it('keeps its calls up to their own limit', async () => {
    const node = await slowNode('slow')
    const nodes = nodesAt([node.address], { patienceMs: 100 })
    const waiting = ask(nodes)
    await waitUntil(() => knocks(node) > 2, { what: 'several knocks', timeoutMs: 5_000 })
    node.answer()
    expect(await waiting).toBe('slow')
    expect(await ask(nodes, 300)).toBe('OPENBAO_TIMEOUT')
    expect(states(nodes)).toEqual(['failing'])
  })

  it('loses them to another one', async () => {
    const node = await slowNode('slow')
    const second = await serveRaw(whole('200 OK', 'second'))
    const nodes = nodesAt([node.address, second.address], { patienceMs: 200 })
    expect(await ask(nodes)).toBe('second')
    expect(states(nodes)).toEqual(['failing', 'answering'])
  })
})

it.each([[[]], [['http://127.0.0.1:1', 'http://127.0.0.1:1']], [['http://bao.example']]])(
  'refuses the addresses %j',
  addresses => {
    expect(() => nodesAt(addresses)).toThrow(OpenBaoError)
  },
)
