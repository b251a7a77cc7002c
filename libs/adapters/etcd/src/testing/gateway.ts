import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo } from 'node:net'

/** What etcd is asked, its bytes as text. */
export interface AskedRange {
  readonly path: string
  readonly key: string
  readonly end: string
  readonly limit: number
  readonly revision: number | undefined
}

export type GatewayAnswer = (response: ServerResponse, asked: AskedRange) => void

/** A gateway that answers as it is told, and remembers what it was asked. */
export interface Gateway extends AsyncDisposable {
  readonly endpoint: string
  readonly asked: readonly AskedRange[]
}

/** Starts one on loopback. */
export async function startGateway(answer: GatewayAnswer): Promise<Gateway> {
  const asked: AskedRange[] = []
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString())
    const { key = '', range_end: end = '', limit, revision } = body as Readonly<Record<string, string | undefined>>
    const range = {
      path: `${request.method ?? ''} ${request.url ?? ''}`,
      key: Buffer.from(key, 'base64').toString('latin1'),
      end: Buffer.from(end, 'base64').toString('latin1'),
      limit: Number(limit),
      revision: revision === undefined ? undefined : Number(revision),
    }
    asked.push(range)
    answer(response, range)
  }
  const server = createServer((request, response) => void take(request, response))
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', () => {
      resolve()
    })
  })
  const { port } = server.address() as AddressInfo
  return {
    asked,
    endpoint: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** An answer of etcd about these keys, with its usual header. */
export function rangeOf(
  entries: Readonly<Record<string, string>>,
  rest: Readonly<Record<string, unknown>> = {},
): object {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const kvs = Object.entries(entries).map(([key, value]) => ({ key: base64(key), value: base64(value) }))
  return { header: { cluster_id: '255', revision: '7' }, kvs, count: String(kvs.length), ...rest }
}

/** Answers JSON with a status. */
export function json(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}
