import { type TransitBackendConfig } from '@sealwright/kms-config'
import { transitConnection } from '@sealwright/node-seals'
import { OpenBaoError, openReopeningTransport, openTokenSource, type Send, steadyClock } from '@sealwright/openbao'
import { type Secret } from '@sealwright/secret'
import * as v from 'valibot'

/** Of one request, and of a login. */
export const TIMEOUT_MS = 5_000

/** One node of OpenBao, without a login. */
export async function withNode<T>(
  address: string,
  backend: TransitBackendConfig,
  use: (send: Send) => Promise<T>,
): Promise<T> {
  const { trust, serverName, readClientCertificate } = transitConnection(backend, [address])
  const { namespace } = backend
  const transport = openReopeningTransport({
    ...{ address, timeoutMs: TIMEOUT_MS },
    ...(trust === undefined ? {} : { trust }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(readClientCertificate === undefined ? {} : { readClientCertificate }),
    ...(namespace === undefined ? {} : { namespace }),
  })
  try {
    return await use(transport.send)
  } finally {
    await transport.close()
  }
}

/** The same with a token, by the configuration's own login. */
export async function withLogin<T>(
  address: string,
  backend: TransitBackendConfig,
  { signal, use }: { readonly signal: AbortSignal; readonly use: (send: Send, token: Secret) => Promise<T> },
): Promise<T> {
  const { auth } = transitConnection(backend, [address])
  return await withNode(address, backend, async send => {
    const tokens = openTokenSource({ auth, send, clock: steadyClock, timeoutMs: TIMEOUT_MS })
    try {
      return await tokens.withToken(async token => await use(send, token), { signal })
    } finally {
      await tokens.close()
    }
  })
}

/** A body that holds no secret, as JSON of a schema. @throws {OpenBaoError} `OPENBAO_RESPONSE_MALFORMED`. */
export function readJson<Schema extends v.GenericSchema>(
  schema: Schema,
  { body, request }: { readonly body: Uint8Array; readonly request: string },
): v.InferOutput<Schema> {
  try {
    return v.parse(schema, JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)))
  } catch {
    // Without its cause, which quotes the body.
    throw new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${request}: the answer is none of OpenBao`)
  }
}
