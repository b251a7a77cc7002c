import { KubeStorageError, parseStoredValue } from './index.ts'
import { writeByLibrary } from './testing/protobuf.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')
const OBJECT = writeByLibrary({
  ...{ encryptedData: bytes('data'), keyID: 'key 1', encryptedDEKSource: bytes('source') },
  ...{ annotations: {}, encryptedDEKSourceType: 1 },
})

describe('a value of etcd', () => {
  it('is taken apart if it is by KMS v2', () => {
    expect(parseStoredValue(Buffer.concat([bytes('k8s:enc:kms:v2:our provider:'), OBJECT]))).toMatchObject({
      kind: 'kms-v2',
      provider: 'our provider',
      object: { keyId: 'key 1' },
    })
  })

  it.each([
    ['k8s:enc:kms:v1:old:\x00\x05abcde', { kind: 'kms-v1', provider: 'old' }],
    ['k8s:enc:aescbc:v1:key1:x', { kind: 'local', method: 'aescbc', keyName: 'key1' }],
    ['k8s:enc:aesgcm:v1:key1:', { kind: 'local', method: 'aesgcm', keyName: 'key1' }],
    ['k8s:enc:secretbox:v1:key:1:', { kind: 'local', method: 'secretbox', keyName: 'key' }],
    ['k8s:enc:kms:v3:x:', { kind: 'unknown-encryption' }],
    ['k8s:enc:', { kind: 'unknown-encryption' }],
    ['k8s:enc:aescbc:v1:', { kind: 'unknown-encryption' }],
    ['k8s:enc:aescbc:v1:key1', { kind: 'unknown-encryption' }],
    ['k8s:enc:kms:v1::x', { kind: 'unknown-encryption' }],
    [`k8s:enc:kms:v1:${'n'.repeat(254)}:x`, { kind: 'unknown-encryption' }],
    ['k8s:enc:kms:v1:\xff:x', { kind: 'unknown-encryption' }],
    ['k8s:enc', { kind: 'plaintext' }],
    ['k8s\0\n\x0e\n\x02v1', { kind: 'plaintext' }],
    ['{"kind":"Secret"}', { kind: 'plaintext' }],
    ['K8s:enc:kms:v2:x:', { kind: 'plaintext' }],
    ['', { kind: 'plaintext' }],
  ])('is told apart by how it begins: %j', (text, expected) => {
    expect(parseStoredValue(bytes(text))).toEqual(expected)
  })

  it.each([
    ['no name', 'k8s:enc:kms:v2:'],
    ['an empty name', 'k8s:enc:kms:v2::x'],
    ['a name without an end', 'k8s:enc:kms:v2:name'],
    ['nothing behind its name', 'k8s:enc:kms:v2:name:'],
    ['something else behind its name', 'k8s:enc:kms:v2:name:{"kind":"Secret"}'],
  ])('is malformed if it is by KMS v2 with %s', (_what, text) => {
    expect(() => parseStoredValue(bytes(text))).toThrow(
      expect.objectContaining({ name: 'KubeStorageError', code: 'KUBE_STORAGE_MALFORMED' }) as KubeStorageError,
    )
  })

  it('says in no error what it holds', () => {
    const secret = 'hunter2-hunter2'
    const message = Buffer.concat([bytes('k8s:enc:kms:v2:name:'), OBJECT, bytes('\x3a\x7f'), bytes(secret)])
    expect(() => parseStoredValue(message)).toThrow(KubeStorageError)
    expect(() => parseStoredValue(message)).not.toThrow(/hunter/)
  })
})
