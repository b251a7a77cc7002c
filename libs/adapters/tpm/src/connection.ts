import { setTimeout as delay } from 'node:timers/promises'

import {
  type RandomBytes,
  type TpmResponse,
  TPM_RC_LOCKOUT,
  TPM_RC_MEMORY,
  TPM_RC_NV_RATE,
  TPM_RC_OBJECT_HANDLES,
  TPM_RC_OBJECT_MEMORY,
  TPM_RC_RETRY,
  TPM_RC_SESSION_HANDLES,
  TPM_RC_SESSION_MEMORY,
  TPM_RC_SUCCESS,
  TPM_RC_TESTING,
  TPM_RC_YIELDED,
  decodeResponse,
  describeRc,
  encodeCommand,
} from '@sealwright/tpm-wire'

import { type Authorization, authorize } from './authorization.ts'
import { type Channel } from './channel.ts'
import { type Deadline } from './deadline.ts'
import { TpmError, lockoutError, rcError } from './errors.ts'
import { pinUnknownError } from './pin-tries.ts'

/** "Ask again": the same bytes may be sent once more, since no nonce has rolled (Part 2, clause 6.6.3; Part 1, clause 39.2). */
const RETRY_CODES: ReadonlySet<number> = new Set([TPM_RC_RETRY, TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_NV_RATE])
/** Slots that are taken, by us or by others. */
const NO_SPACE_CODES: ReadonlySet<number> = new Set([
  TPM_RC_OBJECT_MEMORY,
  TPM_RC_SESSION_MEMORY,
  TPM_RC_MEMORY,
  TPM_RC_SESSION_HANDLES,
  TPM_RC_OBJECT_HANDLES,
])

/** How often one command is sent at most. With the back-off below that is about six seconds. */
const MAX_ATTEMPTS = 20
const FIRST_BACK_OFF_MS = 5
const MAX_BACK_OFF_MS = 500

/** A handle, and the name that stands for it in the command hash (Part 1, clause 16). */
export type NamedHandle = { readonly handle: number; readonly name: Uint8Array }

/** One command, before it is authorised. */
export type Command = {
  /** TCG name, for messages. */
  readonly name: string
  readonly commandCode: number
  readonly handles: readonly NamedHandle[]
  /** Contents of a first TPM2B parameter: the part a session can encrypt. The caller wipes it if it is secret. */
  readonly firstParameter?: Uint8Array
  /** All other parameters. */
  readonly parameters?: Uint8Array
  /** How many handles a successful response has. */
  readonly responseHandleCount?: number
  /** Whether the first response parameter is a TPM2B, so that a session can encrypt it. */
  readonly respondsWithTpm2b?: boolean
  /** Whether the TPM may count it as a try of a PIN: without an answer, nobody knows. */
  readonly triesPin?: boolean
}

/** A successful response: checked, and decrypted where a session encrypted it. */
export type CommandResult = { readonly handles: readonly number[]; readonly parameters: Uint8Array }

/** A TPM during one operation: sends commands, and knows what has to be flushed afterwards. */
export class TpmConnection {
  readonly deadline: Deadline
  readonly randomBytes: RandomBytes
  readonly #channel: Channel
  readonly #held: number[] = []
  readonly #wipeAtEnd: Uint8Array[] = []

  constructor(channel: Channel, deadline: Deadline, randomBytes: RandomBytes) {
    this.#channel = channel
    this.deadline = deadline
    this.randomBytes = randomBytes
  }

  /** Handles of objects and sessions that exist in the TPM because of us, oldest first. */
  get held(): readonly number[] {
    return this.#held
  }

  /** Remembers a handle, to be flushed when the operation ends. */
  hold(handle: number): void {
    this.#held.push(handle)
  }

  /** Forgets a handle that the TPM has let go of. */
  release(handle: number): void {
    const index = this.#held.indexOf(handle)
    if (index >= 0) this.#held.splice(index, 1)
  }

  /** Remembers bytes, to be overwritten when the operation ends. */
  wipeAtEnd(bytes: Uint8Array): void {
    this.#wipeAtEnd.push(bytes)
  }

  /** Overwrites what {@link TpmConnection.wipeAtEnd} was given. */
  wipe(): void {
    for (const bytes of this.#wipeAtEnd) bytes.fill(0)
  }

  /**
   * Runs one command.
   *
   * The order for a response with a session is: take apart, compare the HMAC in constant time, only then decrypt.
   *
   * @throws {@link TpmError} `TPM_RC` for what the TPM refused, unless the code has one meaning everywhere
   * (`TPM_BUSY`, `TPM_LOCKOUT`, `TPM_NO_SPACE`); `TPM_RESPONSE_FORGED`; `TPM_PROTOCOL`; and those of the channel.
   */
  async run(
    command: Command,
    authorization?: Authorization,
    deadline: Deadline = this.deadline,
  ): Promise<CommandResult> {
    const authorized = authorize(command, authorization, this)
    const bytes = encodeCommand({
      commandCode: command.commandCode,
      handles: command.handles.map(({ handle }) => handle),
      auth: authorized.auth,
      parameters: authorized.parameters,
    })
    const response = await this.#send(bytes, command, authorized.auth !== undefined, deadline)
    if (response.rc !== TPM_RC_SUCCESS) throw commonError(command.name, response.rc)
    return { handles: response.handles, parameters: authorized.acceptResponse(response) }
  }

  async #send(bytes: Uint8Array, command: Command, hasSession: boolean, deadline: Deadline): Promise<TpmResponse> {
    const doing = `waiting for the answer to ${command.name}`
    const shape = { handleCount: command.responseHandleCount ?? 0, hasSession }
    for (let attempt = 1, backOffMs = FIRST_BACK_OFF_MS; ; attempt++) {
      const response = await this.#exchange(bytes, command, { doing, deadline, shape })
      if (!RETRY_CODES.has(response.rc)) return response
      if (attempt === MAX_ATTEMPTS) throw busyError(command.name, response.rc, attempt)
      await backOff(backOffMs, deadline, busyError(command.name, response.rc, attempt))
      backOffMs = Math.min(2 * backOffMs, MAX_BACK_OFF_MS)
    }
  }

  /** @throws {@link TpmError} `TPM_PIN_UNKNOWN` if the PIN may be on its way and no answer came that could be read. */
  async #exchange(
    bytes: Uint8Array,
    { name, triesPin = false }: Command,
    { doing, deadline, shape }: { readonly doing: string; readonly deadline: Deadline; readonly shape: ResponseShape },
  ): Promise<TpmResponse> {
    // Until here, and no further, it is certain that nothing was sent.
    deadline.assertNotOver(doing)
    if (!this.#channel.isUsable()) throw new TpmError('TPM_GONE', `the connection broke before ${name} was sent`)
    try {
      return parseResponse(await this.#channel.transceive(bytes, doing, deadline), name, shape)
    } catch (error) {
      throw triesPin ? pinUnknownError(error) : error
    }
  }
}

/** What a response must look like. */
type ResponseShape = { readonly handleCount: number; readonly hasSession: boolean }

function parseResponse(received: Uint8Array, commandName: string, shape: ResponseShape): TpmResponse {
  try {
    return decodeResponse(received, shape)
  } catch (cause) {
    throw new TpmError('TPM_PROTOCOL', `the answer to ${commandName} is not a TPM response`, { cause })
  }
}

/** Waits before another attempt. If our own time is up meanwhile, being busy is the reason, not the TPM's silence. */
async function backOff(backOffMs: number, deadline: Deadline, busy: TpmError): Promise<void> {
  try {
    await delay(backOffMs, undefined, { signal: deadline.signal })
  } catch {
    const over = deadline.error('waiting for a busy TPM')
    throw over.code === 'TPM_CANCELLED' ? over : busy
  }
}

function busyError(commandName: string, rc: number, attempts: number): TpmError {
  const message = `the TPM was still busy with ${describeRc(rc)} after ${attempts} attempts at ${commandName}: try again later`
  return new TpmError('TPM_BUSY', message, { rc })
}

function commonError(commandName: string, rc: number): TpmError {
  if (rc === TPM_RC_LOCKOUT) return lockoutError({ rc })
  if (NO_SPACE_CODES.has(rc)) {
    const message = `${commandName} found no free slot in the TPM, ${describeRc(rc)}: another program holds them (tpm2_flushcontext -t), or use /dev/tpmrm0`
    return new TpmError('TPM_NO_SPACE', message, { rc })
  }
  return rcError(commandName, rc)
}
