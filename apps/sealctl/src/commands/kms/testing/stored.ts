import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { parseKmsConfig } from '@sealwright/kms-config'
import { keyIdOf, type KeyVersion, type KmsProvider } from '@sealwright/kms-v2'
import { factsOf, type KeyFacts } from '../key-facts.ts'

/** How an object is stored that our plugin encrypts. */
export interface StoredBy {
  readonly version: number
  readonly clusterId?: string
  readonly provider?: KmsProvider
  /** 16 bytes, or one that makes them. */
  readonly lineage?: number | Uint8Array
  /** Name of the provider. */
  readonly name?: string
  /** Of the encrypted object. */
  readonly dataBytes?: number
}

export const CLUSTER_ID = 'lab'
export const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const DAY_MS = 86_400_000

export function lineageOf(version: number, byte = 0): Uint8Array {
  return new Uint8Array(16).fill(version + byte)
}

/** A transit key whose versions were made a day apart, the newest `newestAgeMs` ago. */
export function keyOf(
  count: number,
  {
    newestAgeMs = DAY_MS,
    oldestDecryptable = 1,
  }: { readonly newestAgeMs?: number; readonly oldestDecryptable?: number } = {},
): KeyFacts {
  const versions: readonly KeyVersion[] = Array.from({ length: count }, (_, index) => ({
    version: index + 1,
    lineage: lineageOf(index + 1),
    createdAtMs: NOW_MS - newestAgeMs - (count - 1 - index) * DAY_MS,
  }))
  const decryptable = versions.filter(({ version }) => version >= oldestDecryptable)
  return factsOf(CONFIG, { versions: decryptable, oldestDecryptable, oldestEncryptable: 0 }, NOW_MS)
}

export const CONFIG = parseKmsConfig(
  JSON.stringify({
    clusterId: CLUSTER_ID,
    backend: {
      ...{ type: 'transit', addresses: ['http://127.0.0.1:1'], keyName: 'kubernetes' },
      auth: { method: 'token', tokenFile: '/t' },
    },
  }),
  'a test',
)

/** An object as kube-apiserver stores it, encrypted by our plugin. */
export function storedBy({
  version,
  clusterId = CLUSTER_ID,
  provider = 'transit',
  lineage: byte = 0,
  name = 'sealwright',
  dataBytes,
}: StoredBy): Buffer {
  const lineage = typeof byte === 'number' ? lineageOf(version, byte) : byte
  const header = Buffer.alloc(26)
  header.write('SWKM', 'latin1')
  header[4] = 1
  header[5] = provider === 'transit' ? 1 : 2
  header.writeUInt32BE(version, 6)
  header.set(lineage, 10)
  const source = Buffer.concat([header, Buffer.from('wrapped')])
  return kmsObject(name, keyIdOf({ provider, clusterId, lineage, version }), source, dataBytes)
}

/** The same by any other KMS plugin. */
export function kmsObject(name: string, keyId: string, source: Uint8Array, dataBytes = 14): Buffer {
  const { LengthDelimited, Varint } = WireType
  const object = new BinaryWriter()
    .tag(1, LengthDelimited)
    .bytes(new Uint8Array(dataBytes))
    .tag(2, LengthDelimited)
    .string(keyId)
    .tag(3, LengthDelimited)
    .bytes(source)
    .tag(5, Varint)
    .int32(1)
    .finish()
  return Buffer.concat([Buffer.from(`k8s:enc:kms:v2:${name}:`), object])
}
