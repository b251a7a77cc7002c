import {
  BYTES_TYPE,
  type CeremoniesView,
  type CeremonyView,
  type ConfirmedView,
  type EnrolmentView,
  type GenerationsView,
  type ImportView,
  type InitialisedView,
  joinSecretLines,
  JSON_TYPE,
  type JsonAnswerOf,
  type JsonBodyOf,
  type ListedSealsView,
  type ListedSealView,
  MAX_SHARE_BYTES,
  type MembersView,
  type NamedSealStatusView,
  type Operation,
  type OperationId,
  type OperationOf,
  OPERATIONS,
  pathOf,
  type ProbeView,
  type QueryOf,
  type RehearsalView,
  type ReloadView,
  type ResetView,
  type RetirementView,
  type RotationView,
  splitSecretLines,
  type StatusView,
} from '@sealwright/control-api'
import { type GenericSchema } from 'valibot'
import { type Secret } from '@sealwright/secret'
import { assertSuccess, readFacts, readJson } from './answers.ts'
import { type ControlResponse, type ControlTransport, controlTransport } from './transport.ts'

export interface ControlClientOptions {
  readonly socketPath: string
  /** For one whole call; while a snapshot is sent, for each piece of it. A probe waits for every seal of the node. */
  readonly timeoutMs: number
}

/**
 * A connection to one agent's control socket. Close it when done.
 *
 * Each call throws {@link ControlClientError} with any of its codes, or the reason of its signal. Secrets that go in stay the caller's.
 */
export interface ControlClient {
  /** What the agent knows, without touching a seal. */
  status(signal: AbortSignal): Promise<StatusView>
  sealStatus(name: string, signal: AbortSignal): Promise<NamedSealStatusView>
  /** Has the agent unwrap through every seal for real. */
  probe(signal: AbortSignal): Promise<ProbeView>

  seals(signal: AbortSignal): Promise<ListedSealsView>
  seal(name: string, signal: AbortSignal): Promise<ListedSealView>
  deleteSeal(name: string, query: QueryOf<OperationOf<'deleteSeal'>>, signal: AbortSignal): Promise<void>
  /** Has the agent read its configuration anew. */
  reload(body: JsonBodyOf<OperationOf<'reload'>>, signal: AbortSignal): Promise<ReloadView>
  /** The shares are the caller's, who wipes them; they are handed out once and never again, and open nothing before they are confirmed. */
  initialise(
    name: string,
    body: JsonBodyOf<OperationOf<'initialise'>>,
    signal: AbortSignal,
  ): Promise<InitialisedView & { readonly shares: readonly Secret[] }>
  confirmShares(
    name: string,
    body: JsonBodyOf<OperationOf<'confirmShares'>>,
    signal: AbortSignal,
  ): Promise<ConfirmedView>

  ceremonies(signal: AbortSignal): Promise<CeremoniesView>
  enterShare(share: Secret, query: QueryOf<OperationOf<'enterShare'>>, signal: AbortSignal): Promise<CeremonyView>
  resetShares(body: JsonBodyOf<OperationOf<'resetShares'>>, signal: AbortSignal): Promise<ResetView>
  /** None of the shares may have a line feed. */
  rehearse(
    shares: readonly Secret[],
    query: QueryOf<OperationOf<'rehearse'>>,
    signal: AbortSignal,
  ): Promise<RehearsalView>

  generations(signal: AbortSignal): Promise<GenerationsView>
  rotate(body: JsonBodyOf<OperationOf<'rotate'>>, signal: AbortSignal): Promise<RotationView>
  /** Sends a snapshot of any size while it is read. */
  retire(
    snapshot: AsyncIterable<Uint8Array>,
    query: QueryOf<OperationOf<'retire'>>,
    signal: AbortSignal,
  ): Promise<RetirementView>

  members(signal: AbortSignal): Promise<MembersView>
  revokeMember(body: JsonBodyOf<OperationOf<'revokeMember'>>, signal: AbortSignal): Promise<RotationView>
  exportKeyring(signal: AbortSignal): Promise<Uint8Array>
  importKeyring(keyring: Uint8Array, signal: AbortSignal): Promise<ImportView>
  approveEnrolment(
    request: Uint8Array,
    query: QueryOf<OperationOf<'approveEnrolment'>>,
    signal: AbortSignal,
  ): Promise<EnrolmentView & { readonly keyring: Uint8Array }>

  close(): Promise<void>
}

/** Shares of one set, at most. */
const MAX_SHARES = 255

/** Makes a client; it connects with the first call. */
export function controlClient(options: ControlClientOptions): ControlClient {
  const transport = controlTransport(options)
  const json = <Id extends JsonOperation>(id: Id, sent: Sent, signal: AbortSignal) =>
    askJson(transport, id, sent, signal)
  const bytes = (id: OperationId, sent: Sent, signal: AbortSignal) => asked(transport, id, sent, signal)

  return {
    status: signal => json('sealStatus', {}, signal),
    sealStatus: (name, signal) => json('namedSealStatus', { parameters: { name } }, signal),
    probe: signal => json('probe', { json: {} }, signal),

    seals: signal => json('seals', {}, signal),
    seal: (name, signal) => json('seal', { parameters: { name } }, signal),
    async deleteSeal(name, query, signal) {
      await bytes('deleteSeal', { parameters: { name }, query }, signal)
    },
    reload: (body, signal) => json('reload', { json: body }, signal),
    async initialise(name, body, signal) {
      const response = await bytes('initialise', { parameters: { name }, json: body }, signal)
      try {
        const view = readFacts('initialise', OPERATIONS.initialise.answer.facts, response)
        const shares = splitSecretLines(response.body, { maxBytes: MAX_SHARE_BYTES, maxLines: MAX_SHARES })
        return { ...view, shares }
      } finally {
        response.body.fill(0)
      }
    },
    confirmShares: (name, body, signal) => json('confirmShares', { parameters: { name }, json: body }, signal),

    ceremonies: signal => json('ceremonies', {}, signal),
    async enterShare(share, query, signal) {
      const text = share.reveal(bytesOfShare => Uint8Array.from(bytesOfShare))
      try {
        return await json('enterShare', { query, bytes: text }, signal)
      } finally {
        text.fill(0)
      }
    },
    resetShares: (body, signal) => json('resetShares', { json: body }, signal),
    async rehearse(shares, query, signal) {
      const lines = joinSecretLines(shares)
      try {
        return await json('rehearse', { query, bytes: lines }, signal)
      } finally {
        lines.fill(0)
      }
    },

    generations: signal => json('generations', {}, signal),
    rotate: (body, signal) => json('rotate', { json: body }, signal),
    retire: (snapshot, query, signal) => json('retire', { query, bytes: snapshot }, signal),

    members: signal => json('members', {}, signal),
    revokeMember: (body, signal) => json('revokeMember', { json: body }, signal),
    exportKeyring: async signal => (await bytes('exportKeyring', {}, signal)).body,
    importKeyring: (keyring, signal) => json('importKeyring', { bytes: keyring }, signal),
    async approveEnrolment(request, query, signal) {
      const response = await bytes('approveEnrolment', { query, bytes: request }, signal)
      const { facts } = OPERATIONS.approveEnrolment.answer
      return { ...readFacts('approveEnrolment', facts, response), keyring: response.body }
    },

    close: () => transport.close(),
  }
}

/** What goes with an operation. */
interface Sent {
  readonly parameters?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly json?: unknown
  readonly bytes?: Uint8Array | AsyncIterable<Uint8Array>
}

type JsonOperation = {
  [Id in OperationId]: OperationOf<Id>['answer']['kind'] extends 'json' ? Id : never
}[OperationId]

async function askJson<Id extends JsonOperation>(
  transport: ControlTransport,
  id: Id,
  sent: Sent,
  signal: AbortSignal,
): Promise<JsonAnswerOf<OperationOf<Id>>> {
  const { schema }: { readonly schema: GenericSchema } = OPERATIONS[id].answer
  return readJson(id, schema, await asked(transport, id, sent, signal)) as JsonAnswerOf<OperationOf<Id>>
}

async function asked(
  transport: ControlTransport,
  id: OperationId,
  { parameters, query, json, bytes }: Sent,
  signal: AbortSignal,
): Promise<ControlResponse> {
  const operation: Operation = OPERATIONS[id]
  const body =
    bytes === undefined
      ? json !== undefined && { contentType: JSON_TYPE, body: Buffer.from(JSON.stringify(json)) }
      : { contentType: BYTES_TYPE, body: bytes }
  const response = await transport.ask(
    { method: operation.method, path: pathOf(operation, parameters, query), ...body },
    signal,
  )
  assertSuccess(id, response)
  return response
}
