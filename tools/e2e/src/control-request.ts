import { request } from 'node:http'
import { type SealedNode } from '@sealwright/testing-cluster'

/** An answer of the agent's control socket. */
export interface ControlAnswer {
  readonly status: number
  readonly text: string
}

const TIMEOUT_MS = 20_000

/** Asks the agent of a node over its Unix socket, as curl would. */
export async function askControl(
  node: SealedNode,
  path: string,
  method = 'GET',
  body?: Uint8Array,
): Promise<ControlAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<ControlAnswer>()
  const headers = body === undefined ? {} : { 'Content-Type': 'application/octet-stream' }
  const options = { socketPath: node.controlSocketPath, path, method, headers, agent: false, timeout: TIMEOUT_MS }
  const asked = request(options, response => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () => {
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() })
    })
  })
  asked.on('error', reject)
  asked.on('timeout', () => asked.destroy(new Error(`no answer to ${path} in ${TIMEOUT_MS} ms`)))
  asked.end(body)
  return await promise
}

/** The value of one metric; 0 while it does not exist. `labels` as they stand between the braces. */
export async function readMetric(node: SealedNode, name: string, labels = ''): Promise<number> {
  const { text } = await askControl(node, '/metrics')
  const line = text
    .split('\n')
    .find(candidate => candidate.startsWith(labels === '' ? `${name} ` : `${name}{${labels}} `))
  return Number(line?.split(' ').at(-1) ?? 0)
}
