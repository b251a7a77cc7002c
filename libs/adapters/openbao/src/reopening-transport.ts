import { parseAddress } from './address.ts'
import { waitFor } from './deadline.ts'
import { OpenBaoError } from './error.ts'
import { DEFAULT_TIMEOUT_MS, type OpenBaoClientOptions, openTransport, type Send, type Transport } from './transport.ts'
import { type ClientCertificate } from './trust.ts'

/** Reads the client certificate and its key anew. The key is handed over: it is wiped once it was used. */
export type ReadClientCertificate = (options: { readonly signal: AbortSignal }) => Promise<ClientCertificate>

/** As for a client, but the certificate is read when it is needed, so that a renewed one is found. */
export type ReopeningOptions = Omit<OpenBaoClientOptions, 'clientCertificate'> & {
  readonly readClientCertificate?: ReadClientCertificate
}

export interface ReopeningTransport extends Pick<Transport, 'send' | 'close'> {
  /** Lets the next call open new connections. Calls that are under way still end on the old ones. */
  readonly reopen: () => void
}

/**
 * A transport that reads its certificates again when TLS fails: they may have been renewed since. A request that failed so was
 * not sent, and is sent once more if its connections were opened before it.
 *
 * Sending may also throw `OPENBAO_CREDENTIAL_UNREADABLE`, if the client certificate cannot be read.
 *
 * @throws {@link OpenBaoError} `OPENBAO_ADDRESS_INVALID`.
 */
export function openReopeningTransport(options: ReopeningOptions): ReopeningTransport {
  parseAddress(options.address, { unsafelyAllowPlainHttp: options.unsafelyAllowPlainHttp ?? false })
  /** In use, or retired with calls under way. */
  const live = new Set<Transport>()
  let opening: Promise<Transport> | undefined
  /** What {@link opening} gave. */
  let opened: Transport | undefined
  let closed = false

  const openOnce = (): Promise<Transport> => {
    const opens = open(options)
    opening = opens
    opens.then(
      async transport => {
        if (opening === opens) opened = transport
        if (closed) await transport.close()
        else live.add(transport)
      },
      () => {
        // What could not be opened is opened anew by the next call.
        if (opening === opens) opening = undefined
      },
    )
    return opens
  }

  /** Takes a transport out of use. Calls that are under way still end. */
  const retire = (opens: Promise<Transport>): void => {
    if (opening !== opens) return
    opening = undefined
    opened = undefined
    opens.then(
      async transport => {
        await transport.retire()
        live.delete(transport)
      },
      () => undefined,
    )
  }

  const send: Send = async request => {
    const { signal } = request.call
    if (closed) throw new OpenBaoError('OPENBAO_CANCELLED', 'the transport is closed')
    const shared = opening
    if (shared !== undefined) {
      try {
        return await (opened ?? (await waitFor(shared, signal))).send(request)
      } catch (error) {
        // Even if another call is opening it right now: it may have read a new certificate beside an old key.
        if (!isTlsFailure(error)) throw error
        retire(shared)
      }
    }
    const opens = opening ?? openOnce()
    const transport = await waitFor(opens, signal)
    try {
      return await transport.send(request)
    } catch (error) {
      if (isTlsFailure(error)) retire(opens)
      throw error
    }
  }

  return {
    send,
    reopen: () => {
      if (opening !== undefined) retire(opening)
    },
    close: async () => {
      closed = true
      // One that still waits for its files is closed when it has them.
      await Promise.all(
        [...live].map(async transport => {
          await transport.close()
        }),
      )
    },
  }
}

async function open({ readClientCertificate, ...common }: ReopeningOptions): Promise<Transport> {
  if (readClientCertificate === undefined) return openTransport(common)
  // Not under the signal of one caller: others may wait for the same.
  const signal = AbortSignal.timeout(common.timeoutMs ?? DEFAULT_TIMEOUT_MS)
  const clientCertificate = await readCertificate(readClientCertificate, signal)
  try {
    return openTransport({ ...common, clientCertificate })
  } finally {
    clientCertificate.privateKeyPem.wipe()
  }
}

async function readCertificate(read: ReadClientCertificate, signal: AbortSignal): Promise<ClientCertificate> {
  try {
    return await waitFor(read({ signal }), signal)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new OpenBaoError('OPENBAO_CREDENTIAL_UNREADABLE', `no client certificate: ${reason}`, { cause })
  }
}

function isTlsFailure(error: unknown): boolean {
  return error instanceof OpenBaoError && error.code === 'OPENBAO_TLS'
}
