import type { Template } from 'pkcs11js'
import { type KeyFacts, MAX_LIST_ENTRIES } from '../channel/facts.ts'
import { type KeyQuery } from '../channel/requests.ts'
import { asBuffer, call, type LoadedModule } from './cryptoki.ts'

/** How many handles are asked for at once: a token may have thousands of objects. */
const PAGE = 32

/** The secret and private keys that a query fits. Nothing but attributes is read. */
export function findKeys(loaded: LoadedModule, session: Buffer, query: KeyQuery): readonly KeyFacts[] {
  const { cryptoki } = loaded
  return [cryptoki.CKO_SECRET_KEY, cryptoki.CKO_PRIVATE_KEY].flatMap(keyClass =>
    findObjects(loaded, session, [{ type: cryptoki.CKA_CLASS, value: keyClass }, ...templateOf(loaded, query)]).map(
      handle => readKey(loaded, session, handle),
    ),
  )
}

function templateOf({ cryptoki }: LoadedModule, query: KeyQuery): Template {
  switch (query.kind) {
    case 'id':
      return [{ type: cryptoki.CKA_ID, value: asBuffer(query.id) }]
    case 'label':
      return [{ type: cryptoki.CKA_LABEL, value: query.label }]
    case 'all':
      return []
  }
}

function findObjects(loaded: LoadedModule, session: Buffer, template: Template): readonly Buffer[] {
  const { lib } = loaded
  call(loaded, 'C_FindObjectsInit', () => {
    lib.C_FindObjectsInit(session, template)
  })
  const found: Buffer[] = []
  for (;;) {
    const page = call(loaded, 'C_FindObjects', () => lib.C_FindObjects(session, PAGE))
    found.push(...page)
    if (page.length === 0 || found.length >= MAX_LIST_ENTRIES / 2) break
  }
  call(loaded, 'C_FindObjectsFinal', () => {
    lib.C_FindObjectsFinal(session)
  })
  return found.slice(0, MAX_LIST_ENTRIES / 2)
}

function readKey(loaded: LoadedModule, session: Buffer, handle: Buffer): KeyFacts {
  const { cryptoki } = loaded
  const attribute = (type: number) => readAttribute(loaded, session, handle, type)
  const flag = (type: number) => {
    const value = attribute(type)
    return value?.byteLength === 1 ? value[0] !== 0 : undefined
  }
  const kind = kindOf(loaded, attribute(cryptoki.CKA_KEY_TYPE))
  const id = attribute(cryptoki.CKA_ID) ?? Buffer.alloc(0)
  const modulus = kind === 'rsa' ? attribute(cryptoki.CKA_MODULUS) : undefined
  return {
    handle,
    kind,
    id,
    label: attribute(cryptoki.CKA_LABEL)?.toString() ?? '',
    bits: kind === 'aes' ? 8 * ulong(attribute(cryptoki.CKA_VALUE_LEN)) : bitLength(modulus),
    modulus: modulus ?? Buffer.alloc(0),
    publicExponent: kind === 'rsa' ? publicExponentOf(loaded, session, handle, modulus) : Buffer.alloc(0),
    isSensitive: flag(cryptoki.CKA_SENSITIVE),
    isExtractable: flag(cryptoki.CKA_EXTRACTABLE),
    wasAlwaysSensitive: flag(cryptoki.CKA_ALWAYS_SENSITIVE),
    wasNeverExtractable: flag(cryptoki.CKA_NEVER_EXTRACTABLE),
    isLocal: flag(cryptoki.CKA_LOCAL),
  }
}

function kindOf({ cryptoki }: LoadedModule, keyType: Buffer | undefined): KeyFacts['kind'] {
  if (keyType === undefined) return 'other'
  const type = ulong(keyType)
  if (type === cryptoki.CKK_AES) return 'aes'
  return type === cryptoki.CKK_RSA ? 'rsa' : 'other'
}

/** Some tokens keep the exponent with the public key alone. */
function publicExponentOf(loaded: LoadedModule, session: Buffer, handle: Buffer, modulus: Buffer | undefined): Buffer {
  const { cryptoki } = loaded
  const own = readAttribute(loaded, session, handle, cryptoki.CKA_PUBLIC_EXPONENT)
  if ((own !== undefined && own.byteLength > 0) || modulus === undefined) return own ?? Buffer.alloc(0)
  const [publicKey] = findObjects(loaded, session, [
    { type: cryptoki.CKA_CLASS, value: cryptoki.CKO_PUBLIC_KEY },
    { type: cryptoki.CKA_MODULUS, value: modulus },
  ])
  if (publicKey === undefined) return Buffer.alloc(0)
  return readAttribute(loaded, session, publicKey, cryptoki.CKA_PUBLIC_EXPONENT) ?? Buffer.alloc(0)
}

/** One attribute at a time: a single one that a token does not have would fail the whole list. */
function readAttribute(loaded: LoadedModule, session: Buffer, handle: Buffer, type: number): Buffer | undefined {
  const { lib, cryptoki } = loaded
  try {
    const [attribute] = lib.C_GetAttributeValue(session, handle, [{ type }])
    return Buffer.isBuffer(attribute?.value) ? attribute.value : undefined
  } catch (error) {
    if (error instanceof cryptoki.Pkcs11Error) return undefined
    throw error
  }
}

/** CK_ULONG, in the byte order of this machine, which is little-endian on all that we build for. */
function ulong(value: Buffer | undefined): number {
  return value === undefined || value.byteLength < 4 ? 0 : value.readUInt32LE(0)
}

function bitLength(modulus: Buffer | undefined): number {
  const first = modulus?.findIndex(byte => byte !== 0) ?? -1
  if (modulus === undefined || first === -1) return 0
  return 8 * (modulus.byteLength - first) - Math.clz32(modulus[first] ?? 0) + 24
}
