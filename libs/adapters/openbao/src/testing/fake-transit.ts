import { type RawAnswer, type RawServer, serveRaw, whole } from './raw-server.ts'

/** One item of a batch, as it was sent. */
export interface SentItem {
  readonly plaintext?: string
  readonly ciphertext?: string
  readonly associated_data: string
  readonly key_version?: number
  readonly reference: string
}

/** One result of a batch. */
export type SentResult = Readonly<Record<string, unknown>>

/** What a stand-in for a node does with one batch; what it gives is answered. */
export type AnswerBatch = (items: readonly SentItem[], verb: string) => RawAnswer | readonly SentResult[]

/** A server that stands for a node with a transit key, and counts. */
export interface FakeTransit extends RawServer {
  /** Batches that came in so far. */
  readonly batches: readonly (readonly SentItem[])[]
  /** Requests for `sys/health`. */
  readonly knocks: () => number
}

/** Answers batches, and everything else as a node that is in order. Its cipher is none: `vault:v1:` and the plaintext. */
export async function serveTransit(answer: AnswerBatch = goodResults): Promise<FakeTransit> {
  const batches: SentItem[][] = []
  const raw = await serveRaw((socket, request) => {
    const [, verb] = /^POST \/v1\/transit\/(encrypt|decrypt)\/\S+ /.exec(request) ?? []
    if (verb === undefined) {
      if (!request.includes('/sys/health')) whole('403 X', '{"errors":["permission denied"]}')(socket, request)
      else whole('200 OK', '{}')(socket, request)
      return
    }
    const body = request.slice(request.indexOf('\r\n\r\n') + 4)
    const { batch_input: items } = JSON.parse(body) as { readonly batch_input: SentItem[] }
    batches.push(items)
    const answered = answer(items, verb)
    if (typeof answered === 'function') answered(socket, request)
    else batchAnswer(answered)(socket, request)
  })
  return { ...raw, batches, knocks: () => raw.requests.filter(text => text.includes('/sys/health')).length }
}

/** What a good node answers. */
export function goodResults(items: readonly SentItem[]): readonly SentResult[] {
  return items.map(({ plaintext, ciphertext, key_version: version = 1, reference }) =>
    plaintext === undefined
      ? { plaintext: ciphertext?.replace(/^vault:v\d+:/, ''), reference }
      : { ciphertext: `vault:v${version}:${plaintext}`, key_version: version, reference },
  )
}

/** A well-formed answer with these results. */
export function batchAnswer(results: readonly SentResult[], status = '200 OK'): RawAnswer {
  return whole(status, JSON.stringify({ data: { batch_results: results } }))
}
