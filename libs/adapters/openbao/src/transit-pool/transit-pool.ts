import { type Secret } from '@sealwright/secret'
import { type AuthMethod } from '../auth/auth-method.ts'
import { type Clock, steadyClock } from '../auth/clock.ts'
import { openTokenSource } from '../auth/token-source.ts'
import { withDeadline } from '../deadline.ts'
import { withoutSlashes } from '../kv.ts'
import { DEFAULT_PATIENCE_MS, type NodeHealth, openNodes } from '../nodes/nodes.ts'
import { type ReopeningOptions } from '../reopening-transport.ts'
import { MAX_CIPHERTEXT_BYTES, parseCiphertext, type TransitCiphertext } from '../transit/ciphertext.ts'
import { TransitError, type TransitErrorCode } from '../transit/error.ts'
import { type KeyVerb, keyPaths } from '../transit/key-paths.ts'
import { parseKeyVersions, type TransitKeyVersions } from '../transit/messages.ts'
import { assertSuitable } from '../transit/suitable-key.ts'
import { type TransitCall } from '../transit/transit-access.ts'
import { transitErrorOf } from '../transit/translate.ts'
import { decryptItem, encryptItem, readDecrypted, readEncrypted } from './batch-messages.ts'
import { openBatcher } from './batcher.ts'
import { batchExchange } from './exchange.ts'
import { poolErrorOf } from './pool-error.ts'

/** How long one call may take, in milliseconds, waiting included: kube-apiserver gives up after 3 seconds. */
export const DEFAULT_POOL_TIMEOUT_MS = 2_500
/** How long a login may take in all: OpenBao may have to ask somebody itself. Callers are not held up longer than their own time. */
const LOGIN_TIMEOUT_MS = 10_000
/** A token in a file is not read for every call; one that is denied is looked for in the file at once. */
const REREAD_TOKEN_MS = 1_000
/** Calls may come by the hundred a second; logins that OpenBao refuses must not. */
const HOLD_REFUSED_LOGIN_MS = 1_000
/** Items in one batch. More are no faster. */
export const DEFAULT_BATCH_ITEMS = 64
/** Well below the 1,000 strings that OpenBao 2.7.2 takes in one request by default; an item has 6. */
const MAX_BATCH_ITEMS = 128
/** Calls that may be under way or wait at the same time. */
export const DEFAULT_MAX_CALLS = 4_096

/** Its ciphertext must stay below {@link MAX_CIPHERTEXT_BYTES}. */
const MAX_PLAINTEXT_BYTES = 256
const MAX_ASSOCIATED_DATA_BYTES = 4_096
/** For one result, its reference and what stands around it; and for any other answer. */
const MAX_RESULT_BYTES = 2 * MAX_CIPHERTEXT_BYTES
const MAX_OTHER_ANSWER_BYTES = 262_144
/** A key tells all its versions, with 18 bytes each: 200,000 of them are one for each hour of 20 years. */
const MAX_KEY_ANSWER_BYTES = 4_194_304

/** One transit key of a cluster, whichever of its nodes can be reached. */
export type TransitPoolOptions = Omit<ReopeningOptions, 'address' | 'timeoutMs' | 'maxResponseBytes'> & {
  /** Of the nodes of one cluster, at least one: `https://host[:port]` and the like. Any that is unsealed will do. */
  readonly addresses: readonly string[]
  /** Where the engine is mounted. Slashes around it do not count. Default: `transit`. */
  readonly mountPath?: string
  readonly keyName: string
  readonly auth: AuthMethod
  /** Limit of one call, waiting and login included, in milliseconds. Default: {@link DEFAULT_POOL_TIMEOUT_MS}. */
  readonly timeoutMs?: number
  /** How long nothing may be heard of all addresses together until calls fail. Default: 800 ms, and no more than the limit of a call. */
  readonly patienceMs?: number
  /** Calls in one request, from 1 to 128. Default: {@link DEFAULT_BATCH_ITEMS}. */
  readonly maxBatchItems?: number
  /** Calls at the same time; one more is `TRANSIT_OVERLOADED`. Default: {@link DEFAULT_MAX_CALLS}. */
  readonly maxCalls?: number
  /** Default: the machine's steady clock. */
  readonly clock?: Clock
  /** Hears of each change of what is known of an address. */
  readonly onHealth?: (health: AddressHealth) => void
}

/** What is known of one address, without asking. `silent`: it does not answer, and calls do not wait for it. */
export interface AddressHealth {
  readonly address: string
  readonly state: NodeHealth['state']
  /** Why, if it is failing or silent. */
  readonly code: TransitErrorCode | undefined
  /** How long it has been so. */
  readonly forMs: number
}

/** A transit key for many calls at once: those that come together go out together. Each function may throw {@link TransitError}. */
export interface TransitPool extends AsyncDisposable {
  /**
   * Encrypts by one version of the key.
   *
   * @param plaintext - 1 to 256 bytes; stays the caller's, who may wipe it as soon as this has returned its promise.
   * @param options.associatedData - up to 4,096 bytes; used before this returns.
   */
  readonly encrypt: (
    plaintext: Secret,
    options: TransitCall & { readonly associatedData: Uint8Array; readonly keyVersion: number },
  ) => Promise<TransitCiphertext>
  /** Decrypts. The caller owns, and wipes, the result. `TRANSIT_CIPHERTEXT_REFUSED` for another key or other associated data. */
  readonly decrypt: (
    ciphertext: TransitCiphertext,
    options: TransitCall & { readonly associatedData: Uint8Array },
  ) => Promise<Secret>
  /** What the key says of itself. `TRANSIT_KEY_UNSUITABLE` for one that cannot do this; `TRANSIT_DENIED` where the policy does not let us read it. */
  readonly readKey: (call: TransitCall) => Promise<TransitKeyVersions>
  /** What is known of each address by now. Nothing is sent. */
  readonly health: () => readonly AddressHealth[]
  /** Lets all calls fail with `TRANSIT_CANCELLED`, revokes a token of our own, and ends all connections. Takes 2 seconds at most. */
  readonly close: () => Promise<void>
}

/**
 * Opens the way to a transit key for a program that is asked often, and by many at once. Nothing is read or sent before the first call.
 *
 * @throws {@link TransitError} `TRANSIT_OPTIONS_INVALID`.
 */
export function openTransitPool(options: TransitPoolOptions): TransitPool {
  const { addresses, auth, keyName, timeoutMs = DEFAULT_POOL_TIMEOUT_MS, clock = steadyClock } = options
  const { maxBatchItems = DEFAULT_BATCH_ITEMS, maxCalls = DEFAULT_MAX_CALLS, onHealth = () => undefined } = options
  if (!Number.isInteger(maxBatchItems) || maxBatchItems < 1 || maxBatchItems > MAX_BATCH_ITEMS) {
    throw invalid(`${maxBatchItems} items in a batch, it must be 1 to ${MAX_BATCH_ITEMS}`)
  }
  const mountPath = withoutSlashes(options.mountPath ?? 'transit')
  const place = {
    address: addresses.join(', '),
    namespace: options.namespace,
    mountPath,
    keyName,
    authMethod: auth.method,
  }
  const inOurWords = <T>(run: () => T): T => {
    try {
      return run()
    } catch (error) {
      throw transitErrorOf(error, place)
    }
  }

  let calls = 0
  /** Counts a call, and puts what fails in it in the words for what it was about. */
  const operation = async <T>(verb: KeyVerb, run: () => Promise<T>): Promise<T> => {
    if (calls >= maxCalls) {
      throw new TransitError(
        'TRANSIT_OVERLOADED',
        `${calls} calls by ${keyName} are under way already; it is tried again`,
      )
    }
    calls += 1
    try {
      return await run()
    } catch (error) {
      throw poolErrorOf(error, place, verb)
    } finally {
      calls -= 1
    }
  }

  const healthOf = ({ address, state, failure, sinceMs }: NodeHealth): AddressHealth => {
    const error = transitErrorOf(failure, { ...place, address })
    const code = error instanceof TransitError ? error.code : undefined
    return { address, state, code, forMs: clock.nowMs() - sinceMs }
  }

  const nodes = inOurWords(() =>
    openNodes({
      ...options,
      clock,
      patienceMs: Math.min(options.patienceMs ?? DEFAULT_PATIENCE_MS, timeoutMs),
      maxResponseBytes: Math.max(maxBatchItems * MAX_RESULT_BYTES, MAX_OTHER_ANSWER_BYTES),
      onChange: health => {
        onHealth(healthOf(health))
      },
    }),
  )
  const { send } = nodes
  const tokens = inOurWords(() =>
    openTokenSource({
      auth,
      send,
      clock,
      timeoutMs: Math.max(timeoutMs, LOGIN_TIMEOUT_MS),
      rereadAfterMs: REREAD_TOKEN_MS,
      holdRefusalMs: HOLD_REFUSED_LOGIN_MS,
    }),
  )
  const pathTo = inOurWords(() => keyPaths(mountPath, keyName))

  const wipe = (secret: Secret): void => {
    secret.wipe()
  }
  const nothing = (): void => undefined
  const limits = { maxItems: maxBatchItems, timeoutMs, clock }
  const encryptions = openBatcher<number, TransitCiphertext>({
    ...limits,
    what: `encryption by ${keyName}`,
    exchange: batchExchange({ path: pathTo('encrypt'), tokens, send, clock, read: readEncrypted, discard: nothing }),
    discard: nothing,
  })
  const decryptions = openBatcher<undefined, Secret>({
    ...limits,
    what: `decryption by ${keyName}`,
    exchange: batchExchange({ path: pathTo('decrypt'), tokens, send, clock, read: readDecrypted, discard: wipe }),
    discard: wipe,
  })

  const closeOnce = async (): Promise<void> => {
    encryptions.close()
    decryptions.close()
    await tokens.close()
    await nodes.close()
  }
  let closed: Promise<void> | undefined
  const close = async (): Promise<void> => {
    await (closed ??= closeOnce())
  }

  return {
    encrypt: async (plaintext, { associatedData, keyVersion, signal }) =>
      await operation('encrypt', async () => {
        assertPlaintext(plaintext)
        assertAssociatedData(associatedData)
        assertKeyVersion(keyVersion)
        const head = encryptItem(plaintext, associatedData, keyVersion)
        return await encryptions.add({ head, expected: keyVersion }, signal)
      }),
    decrypt: async (ciphertext, { associatedData, signal }) =>
      await operation('decrypt', async () => {
        assertCiphertext(ciphertext)
        assertAssociatedData(associatedData)
        return await decryptions.add({ head: decryptItem(ciphertext, associatedData), expected: undefined }, signal)
      }),
    readKey: async ({ signal }) =>
      await operation('keys', async () => {
        const answer = await withDeadline(
          { what: `a look at ${keyName}`, timeoutMs, signal },
          async limit =>
            await tokens.withToken(
              async token =>
                await send({
                  method: 'GET',
                  path: pathTo('keys'),
                  call: { signal: limit, timeoutMs, token },
                  expected: [200],
                  maxResponseBytes: MAX_KEY_ANSWER_BYTES,
                }),
              { signal: limit },
            ),
        )
        const key = parseKeyVersions(answer)
        assertSuitable(key, keyName)
        return key
      }),
    health: () => nodes.health().map(healthOf),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function assertPlaintext({ byteLength }: Secret): void {
  if (byteLength >= 1 && byteLength <= MAX_PLAINTEXT_BYTES) return
  throw invalid(`a plaintext of ${byteLength} bytes, it must have 1 to ${MAX_PLAINTEXT_BYTES}`)
}

function assertAssociatedData({ byteLength }: Uint8Array): void {
  if (byteLength <= MAX_ASSOCIATED_DATA_BYTES) return
  throw invalid(`associated data of ${byteLength} bytes, it must have ${MAX_ASSOCIATED_DATA_BYTES} at most`)
}

function assertKeyVersion(keyVersion: number): void {
  if (Number.isSafeInteger(keyVersion) && keyVersion >= 1) return
  throw invalid(`version ${keyVersion} of a key, they are counted from 1`)
}

/** What is no ciphertext is not sent: its text stands in the request as it is. */
function assertCiphertext({ text, keyVersion }: TransitCiphertext): void {
  if (parseCiphertext(text)?.keyVersion === keyVersion) return
  throw new TransitError('TRANSIT_CIPHERTEXT_REFUSED', 'this is no ciphertext of the transit engine; nothing was sent')
}

function invalid(reason: string): TransitError {
  return new TransitError('TRANSIT_OPTIONS_INVALID', reason)
}
