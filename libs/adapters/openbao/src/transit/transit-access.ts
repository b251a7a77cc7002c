import { type Secret } from '@sealwright/secret'
import { type AuthMethod } from '../auth/auth-method.ts'
import { type Clock, steadyClock } from '../auth/clock.ts'
import { openTokenSource } from '../auth/token-source.ts'
import { withDeadline } from '../deadline.ts'
import { OpenBaoError } from '../error.ts'
import { parseSealStatus } from '../health.ts'
import { withoutSlashes } from '../kv.ts'
import { openReopeningTransport, type ReopeningOptions } from '../reopening-transport.ts'
import { type Answer, DEFAULT_TIMEOUT_MS, type Request } from '../transport.ts'
import { type TransitCiphertext } from './ciphertext.ts'
import { keyPaths } from './key-paths.ts'
import { decryptBody, encryptBody, parseDecrypted, parseEncrypted, parseKey, type TransitKey } from './messages.ts'
import { assertSuitable } from './suitable-key.ts'
import { transitErrorOf } from './translate.ts'

/** One key of the transit engine of another OpenBao, and how to get at it. */
export type TransitOptions = Omit<ReopeningOptions, 'timeoutMs'> & {
  /** Where the engine is mounted. Slashes around it do not count. Default: `transit`. */
  readonly mountPath?: string
  readonly keyName: string
  readonly auth: AuthMethod
  /** Limit of one whole operation, login included, in milliseconds. Default: {@link DEFAULT_TIMEOUT_MS}. */
  readonly timeoutMs?: number
  /** Default: the machine's steady clock. */
  readonly clock?: Clock
}

/** What each operation takes: a signal that ends our waiting, with `TRANSIT_CANCELLED`. */
export interface TransitCall {
  readonly signal: AbortSignal
}

/**
 * A transit key that can be used by many at once, for as long as it is open. Each function may throw {@link TransitError}. A
 * standby answers as well as a leader; only logins and renewals need a leader.
 */
export interface TransitAccess extends AsyncDisposable {
  readonly namespace: string
  readonly mountPath: string
  readonly keyName: string
  /**
   * Encrypts by one version of the key.
   *
   * @param options.keyVersion - left out: the newest, as the key itself says where the policy lets us read it, and as the engine
   *   chooses where not. A key that we can read and that cannot do this is refused, `TRANSIT_KEY_UNSUITABLE`.
   */
  readonly encrypt: (
    plaintext: Secret,
    options: TransitCall & { readonly associatedData: Uint8Array; readonly keyVersion?: number },
  ) => Promise<TransitCiphertext>
  /** Decrypts. The caller owns, and wipes, the result. `TRANSIT_CIPHERTEXT_REFUSED` for another key or associated data. */
  readonly decrypt: (
    ciphertext: TransitCiphertext,
    options: TransitCall & { readonly associatedData: Uint8Array },
  ) => Promise<Secret>
  /** What the key says of itself; null where the policy does not let us read it. */
  readonly readKey: (call: TransitCall) => Promise<TransitKey | null>
  /** The id of the other cluster. Asked without a token, and answered as soon as it is unsealed. */
  readonly clusterId: (call: TransitCall) => Promise<string>
  /** Revokes a token of our own, and ends all connections. Takes 2 seconds at most. */
  readonly close: () => Promise<void>
}

/**
 * Opens the way to a transit key. Nothing is read or sent before the first operation.
 *
 * @throws {@link TransitError} `TRANSIT_OPTIONS_INVALID`.
 */
export function openTransit(options: TransitOptions): TransitAccess {
  const { auth, keyName, timeoutMs = DEFAULT_TIMEOUT_MS, clock = steadyClock } = options
  const mountPath = withoutSlashes(options.mountPath ?? 'transit')
  const place = { address: options.address, namespace: options.namespace, mountPath, keyName, authMethod: auth.method }
  const inOurWords = <T>(run: () => T): T => {
    try {
      return run()
    } catch (error) {
      throw transitErrorOf(error, place)
    }
  }
  const transport = inOurWords(() => openReopeningTransport({ ...options, timeoutMs }))
  const tokens = inOurWords(() => openTokenSource({ auth, send: transport.send, clock, timeoutMs }))
  const pathTo = inOurWords(() => keyPaths(mountPath, keyName))

  const operation = async <T>(
    what: string,
    call: TransitCall,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    try {
      return await withDeadline({ what: `${what} by ${keyName}`, timeoutMs, signal: call.signal }, run)
    } catch (error) {
      throw transitErrorOf(error, place)
    }
  }

  const ask = async (
    request: Omit<Request, 'call' | 'expected'>,
    signal: AbortSignal,
    { loginAgain = true } = {},
  ): Promise<Answer> =>
    await tokens.withToken(
      async token =>
        await onceMoreIfCut(
          async () => await transport.send({ ...request, call: { signal, timeoutMs, token }, expected: [200] }),
        ),
      { signal, loginAgain },
    )

  const post = async (
    verb: 'encrypt' | 'decrypt',
    body: Uint8Array,
    secrets: () => readonly Secret[],
    signal: AbortSignal,
  ): Promise<Answer> => {
    try {
      return await ask({ method: 'POST', path: pathTo(verb), body, secrets }, signal)
    } finally {
      body.fill(0)
    }
  }

  /** Reading is not needed, so a policy that does not allow it is no reason to log in again. */
  const readKey = async (signal: AbortSignal): Promise<TransitKey | null> => {
    try {
      return parseKey(await ask({ method: 'GET', path: pathTo('keys') }, signal, { loginAgain: false }))
    } catch (error) {
      if (error instanceof OpenBaoError && error.code === 'OPENBAO_PERMISSION_DENIED') return null
      throw error
    }
  }

  const newestVersion = async (signal: AbortSignal): Promise<number | undefined> => {
    const key = await readKey(signal)
    if (key === null) return undefined
    assertSuitable(key, keyName)
    return key.latestVersion
  }

  const close = async (): Promise<void> => {
    await tokens.close()
    await transport.close()
  }

  return {
    namespace: options.namespace ?? '',
    mountPath,
    keyName,
    encrypt: async (plaintext, { associatedData, keyVersion, ...call }) =>
      await operation('encryption', call, async signal => {
        const version = keyVersion ?? (await newestVersion(signal))
        const body = encryptBody(plaintext, associatedData, version)
        return parseEncrypted(await post('encrypt', body, () => [plaintext], signal), version)
      }),
    decrypt: async (ciphertext, { associatedData, ...call }) =>
      await operation('decryption', call, async signal =>
        parseDecrypted(await post('decrypt', decryptBody(ciphertext, associatedData), () => [], signal)),
      ),
    readKey: async call => await operation('a look at the key', call, readKey),
    clusterId: async call =>
      await operation('a look at the cluster', call, async signal => {
        const request = {
          method: 'GET',
          path: 'sys/seal-status',
          call: { signal, timeoutMs },
          expected: [200],
        } as const
        const { clusterId } = parseSealStatus(await transport.send(request))
        if (clusterId !== undefined) return clusterId
        throw new OpenBaoError('OPENBAO_SEALED', 'GET sys/seal-status: it is sealed, and tells no cluster id')
      }),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** All that is asked here may be asked twice. A connection that was kept open may have died with its server. */
async function onceMoreIfCut(send: () => Promise<Answer>): Promise<Answer> {
  try {
    return await send()
  } catch (error) {
    if (!(error instanceof OpenBaoError) || error.code !== 'OPENBAO_CONNECTION_CUT') throw error
    return await send()
  }
}
