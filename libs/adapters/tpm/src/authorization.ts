import {
  type AuthCommand,
  type RandomBytes,
  type TpmResponse,
  SHA256_BYTES,
  TPMA_SESSION_continueSession,
  TPMA_SESSION_decrypt,
  TPMA_SESSION_encrypt,
  TPM_RS_PW,
  TpmReader,
  commandParameterHash,
  concat,
  decryptParameter,
  encryptParameter,
  isSameHmac,
  responseParameterHash,
  sessionHmac,
  sessionValue,
  sized,
} from '@sealwright/tpm-wire'

import { type Command } from './connection.ts'
import { TpmError } from './errors.ts'

/** A session that lives in the TPM; its TPM nonce rolls with every response. */
export type Session = {
  readonly handle: number
  /** 32 bytes, or empty without a salt. Wiped when the operation ends. */
  readonly key: Uint8Array
  /** Salted sessions encrypt what goes in and what comes out; the others have no key to do it with. */
  readonly encrypts: boolean
  nonceTpm: Uint8Array
}

/** How a command is authorised. */
export type Authorization =
  /** The empty password, where nothing secret travels. */
  | { readonly kind: 'emptyPassword' }
  | {
      readonly kind: 'session'
      readonly session: Session
      /** Auth value of the first handle's object, empty for none. It always goes into the encryption key. */
      readonly authValue: Uint8Array
      /** Whether it goes into the HMAC key: not in a policy session without TPM2_PolicyAuthValue (Part 1, clause 19.6.5). */
      readonly provesAuthValue: boolean
      /** Set where nothing has to be authorised, and the session only protects the answer by its HMAC (Part 1, clause 20.1). */
      readonly audits?: boolean
    }

/** A command ready to be sent, and what to do with its response. */
export type Authorized = {
  readonly auth: AuthCommand | undefined
  readonly parameters: Uint8Array
  /** Checks the response and returns its parameters in the clear. @throws TpmError `TPM_RESPONSE_FORGED`, `TPM_PROTOCOL`. */
  acceptResponse(response: TpmResponse): Uint8Array
}

/** What authorising needs from the operation it belongs to. */
export type AuthorizationTools = { readonly randomBytes: RandomBytes; wipeAtEnd(bytes: Uint8Array): void }

const NOTHING = new Uint8Array(0)
/** A session that authorises and encrypts nothing must at least audit (TPMA_SESSION; Part 2, clause 8.4). */
const TPMA_SESSION_audit = 0x80
/** Set by the TPM in its answer to a session that audits; says nothing that we need. */
const TPMA_SESSION_auditExclusive = 0x02

/** Encrypts the first parameter where a session can, and computes the HMAC (Part 1, clauses 19.6.5 and 21). */
export function authorize(
  command: Command,
  authorization: Authorization | undefined,
  tools: AuthorizationTools,
): Authorized {
  if (authorization?.kind === 'session') return authorizeWithSession(command, authorization, tools)
  const first = command.firstParameter === undefined ? NOTHING : sized(command.firstParameter)
  const parameters = concat(first, command.parameters ?? NOTHING)
  const auth = authorization
    ? { sessionHandle: TPM_RS_PW, nonceCaller: NOTHING, attributes: TPMA_SESSION_continueSession, hmac: NOTHING }
    : undefined
  return { auth, parameters, acceptResponse: response => response.parameters }
}

function authorizeWithSession(
  command: Command,
  authorization: Extract<Authorization, { kind: 'session' }>,
  tools: AuthorizationTools,
): Authorized {
  const { session, audits = false } = authorization
  const value = sessionValue(session.key, authorization.authValue)
  tools.wipeAtEnd(value)
  const hmacKey = authorization.provesAuthValue ? value : session.key
  const nonceCaller = tools.randomBytes(SHA256_BYTES)
  const nonces = { newer: nonceCaller, older: session.nonceTpm }
  const encryptsCommand = session.encrypts && command.firstParameter !== undefined
  const encryptsResponse = session.encrypts && command.respondsWithTpm2b === true
  const attributes =
    TPMA_SESSION_continueSession |
    (encryptsCommand ? TPMA_SESSION_decrypt : 0) |
    (encryptsResponse ? TPMA_SESSION_encrypt : 0) |
    (audits ? TPMA_SESSION_audit : 0)
  const parameters = encodeParameters(command, encryptsCommand ? plain => encryptParameter(value, nonces, plain) : keep)
  const cpHash = commandParameterHash(
    command.commandCode,
    command.handles.map(({ name }) => name),
    parameters,
  )
  const hmac = sessionHmac(hmacKey, cpHash, nonces, attributes)

  return {
    auth: { sessionHandle: session.handle, nonceCaller, attributes, hmac },
    parameters,
    acceptResponse: response => {
      const { auth } = response
      if (auth === undefined) throw new TpmError('TPM_PROTOCOL', `the answer to ${command.name} has no session`)
      const responseNonces = { newer: auth.nonceTpm, older: nonceCaller }
      const rpHash = responseParameterHash(response.rc, command.commandCode, response.parameters)
      const expected = sessionHmac(hmacKey, rpHash, responseNonces, auth.attributes)
      const answered = audits ? auth.attributes & ~TPMA_SESSION_auditExclusive : auth.attributes
      if (!isSameHmac(expected, auth.hmac) || answered !== attributes) throw forgedError(command.name)
      session.nonceTpm = Uint8Array.from(auth.nonceTpm)
      const clear = encryptsResponse
        ? decryptFirst(response.parameters, cipher => decryptParameter(value, responseNonces, cipher))
        : response.parameters
      return clear
    },
  }
}

function encodeParameters(command: Command, encrypt: (plain: Uint8Array) => Uint8Array): Uint8Array {
  const first = command.firstParameter === undefined ? NOTHING : sized(encrypt(command.firstParameter))
  return concat(first, command.parameters ?? NOTHING)
}

function keep(bytes: Uint8Array): Uint8Array {
  return bytes
}

/** Decrypts the contents of the first TPM2B and leaves the rest as it is. */
function decryptFirst(parameters: Uint8Array, decrypt: (cipher: Uint8Array) => Uint8Array): Uint8Array {
  const reader = new TpmReader(parameters)
  const plain = decrypt(reader.sized(parameters.byteLength))
  const sizedPlain = sized(plain)
  const joined = concat(sizedPlain, reader.bytes(reader.remainingBytes))
  plain.fill(0)
  sizedPlain.fill(0)
  return joined
}

function forgedError(commandName: string): TpmError {
  const message = `the answer to ${commandName} has a wrong HMAC: something between us and the TPM changes what it says; nothing of it was used`
  return new TpmError('TPM_RESPONSE_FORGED', message)
}
