import { KubeStorageError } from './errors.ts'
import { readFields } from './wire.ts'

/** What a value in clear is. */
export type PlainObject =
  /** An object of the API. The group is empty for the core group, and undefined where the value does not begin with it. */
  | { readonly kind: 'api-object'; readonly group: string | undefined }
  /** Nothing that an API server writes as an object. */
  | { readonly kind: 'other' }

/** What objects in protobuf begin with (k8s.io/apimachinery, runtime/serializer/protobuf, `protoEncodingPrefix`). */
const PROTOBUF = new Uint8Array([0x6b, 0x38, 0x73, 0x00])
/** What objects in CBOR begin with (RFC 8949, §3.4.6: self-described CBOR). */
const CBOR = new Uint8Array([0xd9, 0xd9, 0xf7])

/** Numbers of the fields (k8s.io/apimachinery, runtime/generated.proto, `Unknown` and `TypeMeta`). */
const TYPE_META = 1
const API_VERSION = 1

/** As kube-apiserver writes JSON: kind and version before anything of the object itself. */
const JSON_HEAD = /^\{(?:"kind":"[^"\\]{1,253}","apiVersion":"([^"\\]{1,253})"|"apiVersion":"([^"\\]{1,253})")/
const MAX_JSON_HEAD_BYTES = 600

/** What is no UTF-8 becomes the name of no group. */
const UTF8 = new TextDecoder()

/**
 * Of which API group an object in clear is. Looks at its type alone, at nothing that is in it.
 *
 * @param value - the whole value of the key in etcd, of kind `plaintext`.
 */
export function parsePlainObject(value: Uint8Array): PlainObject {
  if (startsWith(value, PROTOBUF)) return { kind: 'api-object', group: groupOf(apiVersionOf(value)) }
  if (startsWith(value, CBOR)) return { kind: 'api-object', group: undefined }
  if (value[0] !== '{'.charCodeAt(0)) return { kind: 'other' }
  const [, first, second] = JSON_HEAD.exec(Buffer.from(value.subarray(0, MAX_JSON_HEAD_BYTES)).toString('latin1')) ?? []
  const apiVersion = first ?? second
  return apiVersion === undefined ? { kind: 'other' } : { kind: 'api-object', group: groupOf(apiVersion) }
}

function apiVersionOf(value: Uint8Array): string | undefined {
  try {
    const meta = bytesOf(value.subarray(PROTOBUF.byteLength), TYPE_META)
    const apiVersion = meta === undefined ? undefined : bytesOf(meta, API_VERSION)
    return apiVersion === undefined ? undefined : UTF8.decode(apiVersion)
  } catch (error) {
    if (error instanceof KubeStorageError) return undefined
    throw error
  }
}

function bytesOf(message: Uint8Array, field: number): Uint8Array | undefined {
  const found = readFields(message).findLast(each => each.field === field && each.kind === 'bytes')
  return found?.kind === 'bytes' ? found.value : undefined
}

/** `apps` of `apps/v1`, and nothing of `v1`. */
function groupOf(apiVersion: string | undefined): string | undefined {
  return apiVersion === undefined || apiVersion === '' ? undefined : apiVersion.split('/').slice(0, -1).join('/')
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.byteLength >= prefix.byteLength && prefix.every((byte, index) => bytes[index] === byte)
}
