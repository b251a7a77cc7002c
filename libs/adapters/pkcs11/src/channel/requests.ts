import {
  encodeKeys,
  encodeModuleFacts,
  encodeTokens,
  HANDLE_BYTES,
  type KeyFacts,
  type ModuleFacts,
  readKeys,
  readModuleFacts,
  readTokens,
  type TokenFacts,
} from './facts.ts'
import { FieldError, type FieldReader, type Part, readFields, sized, text, u16, u8 } from '../fields.ts'
import { OAEP_HASHES, type OaepHash, oaepHashNumber } from '../oaep-hash.ts'

/** How to encrypt or decrypt. */
export type Mechanism =
  | { readonly kind: 'aes-gcm'; readonly iv: Uint8Array; readonly aad: Uint8Array }
  | { readonly kind: 'rsa-oaep'; readonly hash: OaepHash }

/** Which keys: those with this CKA_ID, those with this CKA_LABEL, or all. */
export type KeyQuery =
  | { readonly kind: 'id'; readonly id: Uint8Array }
  | { readonly kind: 'label'; readonly label: string }
  | { readonly kind: 'all' }

type OnKey = {
  readonly slot: Uint8Array
  readonly handle: Uint8Array
  readonly mechanism: Mechanism
  readonly data: Uint8Array
}
type NewToken = {
  readonly slot: Uint8Array
  readonly label: string
  readonly soPin: Uint8Array
  readonly pin: Uint8Array
}
type NewKey = { readonly slot: Uint8Array; readonly id: Uint8Array; readonly label: string }

/** What the process that has the module can be asked for. */
export type Requests = {
  /** Loads the module and initialises it. The first request, and once. */
  load: { readonly modulePath: string }
  /** Always empty. */
  listTokens: Readonly<Record<string, never>>
  /** Opens so many sessions; those that were open on the slot are closed. */
  openSessions: { readonly slot: Uint8Array; readonly count: number }
  /** `pin` in UTF-8. */
  logIn: { readonly slot: Uint8Array; readonly pin: Uint8Array }
  findKeys: { readonly slot: Uint8Array; readonly query: KeyQuery }
  encrypt: OnKey
  decrypt: OnKey
  generateAesKey: NewKey
  generateRsaKeyPair: NewKey & { readonly modulusBits: number }
  /** Only of a token that is blank. `label` in at most 32 bytes of UTF-8; `soPin` and `pin` in UTF-8. */
  initToken: NewToken
}

/** What each request is answered with. */
export type Answers = {
  load: ModuleFacts
  listTokens: readonly TokenFacts[]
  openSessions: undefined
  logIn: undefined
  findKeys: readonly KeyFacts[]
  /** `iv` as the mechanism parameter holds it afterwards: some tokens put their own there. Empty for RSA-OAEP. */
  encrypt: { readonly iv: Uint8Array; readonly ciphertext: Uint8Array }
  /** The plaintext, for the receiver to wipe. */
  decrypt: Uint8Array
  generateAesKey: undefined
  generateRsaKeyPair: undefined
  initToken: undefined
}

export type Operation = keyof Requests

/** How one operation looks on the channel, both ways. */
type Codec<O extends Operation> = {
  readonly number: number
  readonly encodeRequest: (request: Requests[O]) => Part
  readonly readRequest: (reader: FieldReader) => Requests[O]
  readonly encodeAnswer: (answer: Answers[O]) => Part
  readonly readAnswer: (reader: FieldReader) => Answers[O]
}

const nothing = {
  encodeAnswer: (): Part => [],
  readAnswer: (): undefined => undefined,
}

const onKey = {
  encodeRequest: ({ slot, handle, mechanism, data }: OnKey): Part => [
    slot,
    handle,
    encodeMechanism(mechanism),
    sized(data),
  ],
  readRequest: (reader: FieldReader): OnKey => ({
    slot: reader.bytes(HANDLE_BYTES),
    handle: reader.bytes(HANDLE_BYTES),
    mechanism: readMechanism(reader),
    data: reader.sized(),
  }),
}

const newKey = {
  encodeRequest: ({ slot, id, label }: NewKey): Part => [slot, sized(id), text(label)],
  readRequest: (reader: FieldReader): NewKey => ({
    slot: reader.bytes(HANDLE_BYTES),
    id: reader.sized(),
    label: reader.text(),
  }),
}

const CODECS: { readonly [O in Operation]: Codec<O> } = {
  load: {
    number: 1,
    encodeRequest: ({ modulePath }) => text(modulePath),
    readRequest: reader => ({ modulePath: reader.text() }),
    encodeAnswer: encodeModuleFacts,
    readAnswer: readModuleFacts,
  },
  listTokens: {
    number: 2,
    encodeRequest: () => [],
    readRequest: () => ({}),
    encodeAnswer: encodeTokens,
    readAnswer: readTokens,
  },
  openSessions: {
    number: 3,
    encodeRequest: ({ slot, count }) => [slot, u8(count)],
    readRequest: reader => ({ slot: reader.bytes(HANDLE_BYTES), count: reader.u8() }),
    ...nothing,
  },
  logIn: {
    number: 4,
    encodeRequest: ({ slot, pin }) => [slot, sized(pin)],
    readRequest: reader => ({ slot: reader.bytes(HANDLE_BYTES), pin: reader.sized() }),
    ...nothing,
  },
  findKeys: {
    number: 5,
    encodeRequest: ({ slot, query }) => [slot, encodeQuery(query)],
    readRequest: reader => ({ slot: reader.bytes(HANDLE_BYTES), query: readQuery(reader) }),
    encodeAnswer: encodeKeys,
    readAnswer: readKeys,
  },
  encrypt: {
    number: 6,
    ...onKey,
    encodeAnswer: ({ iv, ciphertext }) => [sized(iv), sized(ciphertext)],
    readAnswer: reader => ({ iv: Uint8Array.from(reader.sized()), ciphertext: Uint8Array.from(reader.sized()) }),
  },
  decrypt: {
    number: 7,
    ...onKey,
    encodeAnswer: plaintext => sized(plaintext),
    readAnswer: reader => reader.sized(),
  },
  generateAesKey: { number: 8, ...newKey, ...nothing },
  generateRsaKeyPair: {
    number: 9,
    encodeRequest: request => [newKey.encodeRequest(request), u16(request.modulusBits)],
    readRequest: reader => ({ ...newKey.readRequest(reader), modulusBits: reader.u16() }),
    ...nothing,
  },
  initToken: {
    number: 10,
    encodeRequest: ({ slot, label, soPin, pin }) => [slot, text(label), sized(soPin), sized(pin)],
    readRequest: reader => ({
      slot: reader.bytes(HANDLE_BYTES),
      label: reader.text(),
      soPin: reader.sized(),
      pin: reader.sized(),
    }),
    ...nothing,
  },
}

const OPERATIONS: ReadonlyMap<number, Operation> = new Map(
  (Object.keys(CODECS) as Operation[]).map(operation => [CODECS[operation].number, operation]),
)

/** The number that stands for an operation in a frame. */
export function operationNumber(operation: Operation): number {
  return CODECS[operation].number
}

export function operationOf(number: number): Operation {
  const operation = OPERATIONS.get(number)
  if (operation === undefined) throw new FieldError(`operation ${number} is not known`)
  return operation
}

export function encodeRequest<O extends Operation>(operation: O, request: Requests[O]): Part {
  return CODECS[operation].encodeRequest(request)
}

/** Views into `body`, not copies. */
export function decodeRequest<O extends Operation>(operation: O, body: Uint8Array): Requests[O] {
  return readWhole(body, CODECS[operation].readRequest)
}

export function encodeAnswer<O extends Operation>(operation: O, answer: Answers[O]): Part {
  return CODECS[operation].encodeAnswer(answer)
}

/** A plaintext is a view into `body`, anything else a copy. */
export function decodeAnswer<O extends Operation>(operation: O, body: Uint8Array): Answers[O] {
  return readWhole(body, CODECS[operation].readAnswer)
}

function readWhole<T>(body: Uint8Array, read: (reader: FieldReader) => T): T {
  const reader = readFields(body)
  const value = read(reader)
  reader.end()
  return value
}

const AES_GCM = 1
const RSA_OAEP = 2

function encodeMechanism(mechanism: Mechanism): Part {
  return mechanism.kind === 'aes-gcm'
    ? [u8(AES_GCM), sized(mechanism.iv), sized(mechanism.aad)]
    : [u8(RSA_OAEP), u8(oaepHashNumber(mechanism.hash))]
}

function readMechanism(reader: FieldReader): Mechanism {
  const kind = reader.u8()
  if (kind === AES_GCM) return { kind: 'aes-gcm', iv: reader.sized(), aad: reader.sized() }
  if (kind !== RSA_OAEP) throw new FieldError(`mechanism ${kind} is not known`)
  const hash = OAEP_HASHES.get(reader.u8())
  if (hash === undefined) throw new FieldError('the hash is not known')
  return { kind: 'rsa-oaep', hash }
}

const BY_ID = 1
const BY_LABEL = 2
const ALL = 3

function encodeQuery(query: KeyQuery): Part {
  switch (query.kind) {
    case 'id':
      return [u8(BY_ID), sized(query.id)]
    case 'label':
      return [u8(BY_LABEL), text(query.label)]
    case 'all':
      return u8(ALL)
  }
}

function readQuery(reader: FieldReader): KeyQuery {
  const kind = reader.u8()
  if (kind === BY_ID) return { kind: 'id', id: reader.sized() }
  if (kind === BY_LABEL) return { kind: 'label', label: reader.text() }
  if (kind === ALL) return { kind: 'all' }
  throw new FieldError(`key query ${kind} is not known`)
}
