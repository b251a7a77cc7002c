import { listVectorFiles, readVectors, toHex } from '@sealwright/testing-vectors'
import { type DekSourceType, KubeStorageError, parseStoredValue } from './index.ts'

/** What kube-apiserver’s own code has written, taken and refused. */
const FORMAT = 'kube-apiserver'
const OBJECT = {
  value: 'hex',
  providerName: 'text',
  keyId: 'text',
  annotations: 'json',
  encryptedDekSource: 'hex',
  encryptedDekSourceType: 'text',
  encryptedData: 'hex',
  // How kube-apiserver goes on from there is not read here.
  dekSource: 'hex',
  path: 'text',
  content: 'hex',
} as const
const TYPES: Readonly<Record<DekSourceType, string>> = {
  'aes-gcm-key': 'AES_GCM_KEY',
  'hkdf-sha256-xnonce-aes-gcm-seed': 'HKDF_SHA256_XNONCE_AES_GCM_SEED',
}

const objects = readVectors(FORMAT, 'objects.json', OBJECT)
const refused = readVectors(FORMAT, 'refused.json', { value: 'hex', providerName: 'text', error: 'text' })
const others = readVectors(FORMAT, 'other-storage.json', { value: 'hex', form: 'text' })

it('the vectors are these files', () => {
  const files = listVectorFiles().flatMap(({ format, file }) => (format === FORMAT ? [file] : []))
  expect(files).toEqual(['objects.json', 'other-storage.json', 'refused.json'])
})

describe('what kube-apiserver takes', () => {
  it.each(objects.map(vector => [vector.name, vector] as const))('is read as it reads it: %s', (_name, vector) => {
    const stored = parseStoredValue(vector.value)
    if (stored.kind !== 'kms-v2') throw new Error(`it is taken for ${stored.kind}`)
    const { encryptedData, keyId, encryptedDekSource, annotations, encryptedDekSourceType } = stored.object
    expect({
      ...{ providerName: stored.provider, keyId, encryptedDekSourceType: TYPES[encryptedDekSourceType] },
      ...{ encryptedData: toHex(encryptedData), encryptedDekSource: toHex(encryptedDekSource) },
      annotations: Object.fromEntries([...annotations].map(([name, value]) => [name, toHex(value)])),
    }).toEqual({
      ...{ providerName: vector.providerName, keyId: vector.keyId, annotations: vector.annotations },
      encryptedDekSourceType: vector.encryptedDekSourceType,
      ...{ encryptedData: toHex(vector.encryptedData), encryptedDekSource: toHex(vector.encryptedDekSource) },
    })
  })

  it('is refused wherever its fields are cut off', () => {
    const [seed] = objects
    if (seed === undefined) throw new Error('there is none')
    const start = `k8s:enc:kms:v2:${seed.providerName}:`.length
    for (let length = start; length < seed.value.byteLength; length += 1) {
      const cut = seed.value.subarray(0, length)
      // Without its last field it is another one: a type of source that is not written is the default.
      const expected = length === seed.value.byteLength - 2 ? 'kms-v2' : 'KUBE_STORAGE_MALFORMED'
      expect([length, kindOf(cut)]).toEqual([length, expected])
    }
  })
})

describe('what kube-apiserver refuses', () => {
  it.each(refused.map(vector => [vector.name, vector] as const))('is refused: %s', (_name, { value }) => {
    expect(kindOf(value)).toBe('KUBE_STORAGE_MALFORMED')
  })
})

describe('what is stored in another way', () => {
  const KINDS: Readonly<Record<string, string>> = {
    ...{ aescbc: 'local', aesgcm: 'local', secretbox: 'local' },
    ...{ identity: 'plaintext', 'kms v1': 'kms-v1', unknown: 'unknown-encryption' },
  }
  it.each(others.map(vector => [vector.name, vector] as const))('is told apart: %s', (_name, { value, form }) => {
    const stored = parseStoredValue(value)
    expect(stored.kind).toBe(KINDS[form])
    if (stored.kind === 'local') expect(stored).toMatchObject({ method: form, keyName: 'key1' })
  })
})

function kindOf(value: Uint8Array): string {
  try {
    return parseStoredValue(value).kind
  } catch (error) {
    if (error instanceof KubeStorageError) return error.code
    throw error
  }
}
