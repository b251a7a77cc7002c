import { request } from 'node:http'

/** An answer with its body as text. */
export interface Answer {
  readonly statusCode: number
  readonly contentType: string
  readonly body: string
}

/** Asks a server on a Unix socket. `body` is sent as JSON, as it is. */
export function ask(
  socketPath: string,
  {
    method = 'GET',
    path = '/',
    body,
  }: { readonly method?: string; readonly path?: string; readonly body?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }
    const asked = request({ socketPath, method, path, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      response.on('end', () => {
        const { statusCode = 0, headers: answered } = response
        resolve({ statusCode, contentType: answered['content-type'] ?? '', body: text })
      })
    })
    asked.on('error', reject)
    asked.end(body)
  })
}
