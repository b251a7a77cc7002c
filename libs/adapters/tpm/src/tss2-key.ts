import { Boolean as Asn1Boolean, Constructed, Integer, ObjectIdentifier, OctetString, Sequence, fromBER } from 'asn1js'

import { TpmError } from './errors.ts'

/**
 * "TSS2 PRIVATE KEY" files (draft-bottomley-tpm2-keys, "ASN.1 Specification for TPM 2.0 Key Files"), for sealed data:
 *
 *     TPMKey ::= SEQUENCE {
 *       type       OBJECT IDENTIFIER,                             -- 2.23.133.10.1.5, sealed
 *       emptyAuth  [0] EXPLICIT BOOLEAN OPTIONAL,
 *       policy     [1] EXPLICIT SEQUENCE OF TPMPolicy OPTIONAL,
 *       secret     [2] EXPLICIT OCTET STRING OPTIONAL,            -- TPM2B_ENCRYPTED_SECRET: must be imported first
 *       parent     INTEGER,                                       -- 0x40000001, the owner's storage key
 *       pubkey     OCTET STRING,                                  -- TPM2B_PUBLIC
 *       privkey    OCTET STRING }                                 -- TPM2B_PRIVATE
 *     TPMPolicy ::= SEQUENCE { commandCode [0] EXPLICIT INTEGER, commandPolicy [1] EXPLICIT OCTET STRING }
 *
 * The draft's other fields (authPolicy [3], description [4], rsaParent [5]) are refused: we could not honour them.
 */
export type Tss2SealedKey = {
  /** Whether the object opens without an auth value (PIN). */
  readonly emptyAuth: boolean
  readonly policy: readonly Tss2Policy[]
  /** TPM2B_ENCRYPTED_SECRET, only in an importable key. */
  readonly secret: Uint8Array | undefined
  /** TPM2B_PUBLIC. */
  readonly publicArea: Uint8Array
  /** TPM2B_PRIVATE. */
  readonly privateArea: Uint8Array
}

/** One policy command and what goes into its hash. */
export type Tss2Policy = { readonly commandCode: number; readonly commandPolicy: Uint8Array }

const SEALED_DATA_OID = '2.23.133.10.1.5'
/** TPM_RH_OWNER as parent means: derive the H-2 storage key in the owner hierarchy (draft-bottomley-tpm2-keys, clause 3.1.8). */
const OWNER_PARENT = 0x4000_0001
/** Far above any key of ours; a bound for what is parsed at all. */
const MAX_DER_BYTES = 4096
const MAX_POLICIES = 8
const CONTEXT_SPECIFIC = 3
const PEM_LABEL = 'TSS2 PRIVATE KEY'
const PEM_LINE_CHARACTERS = 64

/** Writes the DER form. */
export function encodeTss2Key(key: Tss2SealedKey): Uint8Array {
  const policies = key.policy.map(
    policy =>
      new Sequence({
        value: [tagged(0, new Integer({ value: policy.commandCode })), tagged(1, octets(policy.commandPolicy))],
      }),
  )
  const sequence = new Sequence({
    value: [
      new ObjectIdentifier({ value: SEALED_DATA_OID }),
      ...(key.emptyAuth ? [tagged(0, new Asn1Boolean({ value: true }))] : []),
      ...(policies.length > 0 ? [tagged(1, new Sequence({ value: policies }))] : []),
      ...(key.secret === undefined ? [] : [tagged(2, octets(key.secret))]),
      new Integer({ value: OWNER_PARENT }),
      octets(key.publicArea),
      octets(key.privateArea),
    ],
  })
  return new Uint8Array(sequence.toBER())
}

/**
 * Reads the DER form. Strict: what does not come out the same when written again is refused, so there is one spelling for one key.
 *
 * @throws {@link TpmError} `TPM_BLOB_MALFORMED`.
 */
export function decodeTss2Key(der: Uint8Array): Tss2SealedKey {
  if (der.byteLength > MAX_DER_BYTES) throw malformed(`${der.byteLength} bytes are too many`)
  const { result, offset } = parse(der)
  if (offset !== der.byteLength || !(result instanceof Sequence)) throw malformed('it is not one DER sequence')
  const fields = [...result.valueBlock.value]
  const type = fields.shift()
  if (!(type instanceof ObjectIdentifier) || type.getValue() !== SEALED_DATA_OID)
    throw malformed('it is not sealed data')
  const emptyAuth = takeTagged(fields, 0)
  const policy = takeTagged(fields, 1)
  const secret = takeTagged(fields, 2)
  const [parent, publicArea, privateArea, ...rest] = fields
  if (rest.length > 0) throw malformed('it has fields that we do not know')
  if (smallInteger(parent) !== OWNER_PARENT) throw malformed('its parent is not the owner storage key')
  const key: Tss2SealedKey = {
    emptyAuth: emptyAuth !== undefined && booleanOf(emptyAuth),
    policy: policy === undefined ? [] : policiesOf(policy),
    secret: secret === undefined ? undefined : octetsOf(secret),
    publicArea: octetsOf(publicArea),
    privateArea: octetsOf(privateArea),
  }
  if (Buffer.compare(encodeTss2Key(key), der) !== 0) throw malformed('it is not in canonical form')
  return key
}

/** Writes the PEM form, ending with a newline. */
export function encodeTss2Pem(key: Tss2SealedKey): string {
  const base64 = Buffer.from(encodeTss2Key(key)).toString('base64')
  const lines = base64.match(new RegExp(`.{1,${PEM_LINE_CHARACTERS}}`, 'g')) ?? []
  return [`-----BEGIN ${PEM_LABEL}-----`, ...lines, `-----END ${PEM_LABEL}-----`, ''].join('\n')
}

/** Reads the PEM form: one block, nothing around it. @throws {@link TpmError} `TPM_BLOB_MALFORMED`. */
export function decodeTss2Pem(pem: string): Tss2SealedKey {
  const block = /^-----BEGIN TSS2 PRIVATE KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END TSS2 PRIVATE KEY-----\r?\n?$/.exec(
    pem,
  )
  if (block?.[1] === undefined) throw malformed(`it is not one PEM block "${PEM_LABEL}"`)
  const base64 = block[1].replaceAll(/[\r\n]/g, '')
  const der = Uint8Array.from(Buffer.from(base64, 'base64'))
  if (Buffer.from(der).toString('base64') !== base64) throw malformed('its base64 is wrong')
  return decodeTss2Key(der)
}

type Node = InstanceType<typeof Constructed>['valueBlock']['value'][number]

function parse(der: Uint8Array): { readonly result: unknown; readonly offset: number } {
  try {
    return fromBER(Uint8Array.from(der), {
      maxDepth: 8,
      maxNodes: 128,
      maxContentLength: MAX_DER_BYTES,
      parseEmbedded: false,
    })
  } catch (cause) {
    throw malformed('it is not DER', cause)
  }
}

/** Takes an explicitly tagged field off the front, if it is there. */
function takeTagged(fields: Node[], tagNumber: number): Node | undefined {
  const [field] = fields
  if (!(field instanceof Constructed)) return undefined
  if (field.idBlock.tagClass !== CONTEXT_SPECIFIC || field.idBlock.tagNumber !== tagNumber) return undefined
  fields.shift()
  const [inner, ...rest] = field.valueBlock.value
  if (inner === undefined || rest.length > 0) throw malformed(`field [${tagNumber}] does not hold one value`)
  return inner
}

function policiesOf(node: Node): readonly Tss2Policy[] {
  if (!(node instanceof Sequence)) throw malformed('its policy is not a sequence')
  const policies = node.valueBlock.value
  if (policies.length === 0 || policies.length > MAX_POLICIES) throw malformed(`it has ${policies.length} policies`)
  return policies.map(policy => {
    if (!(policy instanceof Sequence)) throw malformed('a policy is not a sequence')
    const fields = [...policy.valueBlock.value]
    const commandCode = smallInteger(takeTagged(fields, 0))
    const commandPolicy = octetsOf(takeTagged(fields, 1))
    if (fields.length > 0) throw malformed('a policy has more than two fields')
    return { commandCode, commandPolicy }
  })
}

function smallInteger(node: Node | undefined): number {
  if (!(node instanceof Integer)) throw malformed('an integer is missing')
  const value = node.toBigInt()
  if (value < 0n || value > 0x7fff_ffffn) throw malformed('an integer is out of range')
  return Number(value)
}

function booleanOf(node: Node): boolean {
  if (!(node instanceof Asn1Boolean)) throw malformed('emptyAuth is not a boolean')
  return node.getValue()
}

function octetsOf(node: Node | undefined): Uint8Array {
  if (!(node instanceof OctetString) || node.idBlock.isConstructed) throw malformed('an octet string is missing')
  return new Uint8Array(node.getValue())
}

function octets(bytes: Uint8Array): OctetString {
  return new OctetString({ valueHex: Uint8Array.from(bytes).buffer })
}

function tagged(tagNumber: number, value: Node): Constructed {
  return new Constructed({ idBlock: { tagClass: CONTEXT_SPECIFIC, tagNumber }, value: [value] })
}

function malformed(why: string, cause?: unknown): TpmError {
  return new TpmError('TPM_BLOB_MALFORMED', `this is no "${PEM_LABEL}" we can use: ${why}`, { cause })
}
